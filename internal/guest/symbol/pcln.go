package symbol

import (
	"bytes"
	"encoding/binary"
	"iter"
	"sort"

	"github.com/flawless-engine/flawless"
)

// pcln is the table of functions and lines that every Go program has in its memory, even if it was linked
// without symbols. On WebAssembly, functions have an address space of their own: function n of the module, not
// counting imports, begins at (firstFunc + n) << 16, and the low 16 bits of a pc are the offset in it. Offsets
// that lead outside the table read as zero: names are for people.
//
//	0   magic of Go 1.20 and later, 0, 0, unit of a pc (1), size of a pointer (8)
//	8   number of functions, of files, start of text; each 8 bytes, as are the offsets that follow
//	32  names, units, files, pc values, functions
type pcln struct {
	b                                []byte
	names, units, files, values, fns int
	n                                int    // number of functions
	image                            []byte // memory of the program; nil if it is not known which functions were inlined
	data                             int    // address in image that the offsets of functions' data count from
}

const firstFunc = 0x1000

// findPCLN finds the table in an image, nil if there is none.
func findPCLN(image []byte) *pcln {
	for rest := image; ; {
		at := bytes.Index(rest, []byte{0xf1, 0xff, 0xff, 0xff, 0, 0, 1, 8})
		if at < 0 {
			return nil
		}
		rest = rest[at:]
		p := &pcln{b: rest}
		n := p.word(8)
		p.names, p.units, p.files, p.values, p.fns = p.word(32), p.word(40), p.word(48), p.word(56), p.word(64)
		if n > 0 && n < 1<<24 && p.fns+8*n < len(rest) {
			p.n = n
			return p
		}
		rest = rest[8:]
	}
}

func (p *pcln) part(at, n int) []byte {
	if at < 0 || at > len(p.b)-n {
		return make([]byte, n)
	}
	return p.b[at : at+n]
}

func (p *pcln) word(at int) int { return int(binary.LittleEndian.Uint64(p.part(at, 8)) & (1<<40 - 1)) }
func (p *pcln) half(at int) int { return int(binary.LittleEndian.Uint32(p.part(at, 4))) }

func (p *pcln) text(at int) string {
	if at < 0 || at >= len(p.b) {
		return ""
	}
	s, _, _ := bytes.Cut(p.b[at:min(at+4096, len(p.b))], []byte{0})
	return string(s)
}

// entry returns the offset of the entry of a function, and whether there is such a function. Entries are sorted by index.
func (p *pcln) entry(fn int) (at int, ok bool) {
	k := sort.Search(p.n, func(k int) bool { return p.half(p.fns+8*k)-firstFunc >= fn })
	if k == p.n || p.half(p.fns+8*k)-firstFunc != fn {
		return 0, false
	}
	return p.fns + p.half(p.fns+8*k+4), true
}

// all yields the offset of the entry and the index of each function.
func (p *pcln) all() iter.Seq2[int, int] {
	return func(yield func(at, fn int) bool) {
		for k := range p.n {
			if !yield(p.fns+p.half(p.fns+8*k+4), p.half(p.fns+8*k)-firstFunc) {
				return
			}
		}
	}
}

// name returns the name of a function, "" if there is no such function.
func (p *pcln) name(fn int) string {
	at, ok := p.entry(fn)
	if !ok {
		return ""
	}
	return p.nameAt(at)
}

// nameAt returns the name of the function whose entry is at an offset.
func (p *pcln) nameAt(at int) string { return p.text(p.names + p.half(at+4)) }

// line returns the file and line at an offset in a function; 0 is its beginning.
func (p *pcln) line(fn int, pc uint16) (file string, line int) {
	at, ok := p.entry(fn)
	if !ok {
		return "", 0
	}
	unit, number := p.half(at+32), p.value(p.half(at+20), pc)
	if number < 0 {
		return "", 0
	}
	if line = p.value(p.half(at+24), pc); line < 0 {
		line = 0
	}
	return p.text(p.files + p.half(p.units+4*(unit+number))), line
}

// largestFrame returns the size of the frame of the function whose entry is at an offset, once it has all of it.
func (p *pcln) largestFrame(at int) (size uint64) {
	for pc := range uint16(64) { // a function that only calls the host is short
		size = max(size, uint64(max(0, p.value(p.half(at+16), pc))))
	}
	return size
}

// The table of functions inlined into a function is its data number 3, and its values number 2 are the positions in that table. Each
// row has 16 bytes; at 4 is the name, and at 8 the offset of the call in the function.
const (
	inlinedData   = 3
	inlinedValues = 2
	maxInlined    = 16
)

// inlined returns the functions at an offset in a function, innermost first: the last one is the function itself.
func (p *pcln) inlined(at, fn int, pc uint16) (out []flawless.StackFrame) {
	values, tree := 0, -1
	if n := p.half(at + 28); p.image != nil && n > inlinedValues && n < 1<<16 {
		values = p.half(at + 44 + 4*inlinedValues)
		if offset := p.half(at + 44 + 4*n + 4*inlinedData); int(p.part(at+43, 1)[0]) > inlinedData && offset != 1<<32-1 {
			tree = p.data + offset
		}
	}
	for range maxInlined {
		site := siteOf(p.line(fn, pc))
		row := -1
		if tree >= 0 {
			row = p.value(values, pc)
		}
		if row < 0 || tree+16*row < 0 || tree+16*row > len(p.image)-16 {
			return append(out, flawless.StackFrame{Func: p.nameAt(at), Site: site})
		}
		b := p.image[tree+16*row:]
		out = append(out, flawless.StackFrame{Func: p.text(p.names + int(binary.LittleEndian.Uint32(b[4:]))), Site: site})
		pc = uint16(binary.LittleEndian.Uint32(b[8:]))
	}
	return out
}

// findInlined finds out where the tables of inlined functions are. The program describes itself (runtime.moduledata): the address of
// this table, six slices into it, and 22 words, of which the last one is the address that is looked for. Compilers that arrange
// it in another way leave it unknown.
func (p *pcln) findInlined(image []byte) {
	const slices, gofunc = 6, 40 // in words
	address := len(image) - len(p.b)
	for at := 0; at+8*(gofunc+1) <= len(image); at += 8 {
		word := func(k int) int { return int(binary.LittleEndian.Uint64(image[at+8*k:]) & (1<<40 - 1)) }
		if word(0) != address || word(1) != address+p.names || word(1+3*(slices-1)) != address+p.fns {
			continue
		}
		if data := word(gofunc); data > 0 && data < len(image) {
			p.image, p.data = image, data
		}
		return
	}
}

// maxPairs is how much of a table of values is read. Only functions of many thousands of lines have more.
const maxPairs = 1 << 14

// value reads a table of values by pc. It is a list of pairs of varints: the zigzag difference to the previous
// value, and to the previous pc. They begin at -1 and 0.
func (p *pcln) value(at int, target uint16) int {
	if at == 0 || p.values+at >= len(p.b) {
		return -1
	}
	b := p.b[p.values+at:]
	value, pc := -1, uint64(0)
	for pair := range maxPairs {
		d, n := binary.Uvarint(b)
		if n <= 0 || d == 0 && pair > 0 {
			return -1
		}
		b = b[n:]
		value += int(int32(d>>1) ^ -int32(d&1))
		step, n := binary.Uvarint(b)
		if n <= 0 {
			return -1
		}
		b = b[n:]
		if pc += step; uint64(target) < pc {
			return value
		}
	}
	return -1
}
