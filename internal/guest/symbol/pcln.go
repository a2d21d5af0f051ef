package symbol

import (
	"bytes"
	"encoding/binary"
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
	funcs                            map[int]int // offset of a function's entry, by index
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
		p := &pcln{b: rest, funcs: map[int]int{}}
		n := p.word(8)
		p.names, p.units, p.files, p.values, p.fns = p.word(32), p.word(40), p.word(48), p.word(56), p.word(64)
		if n > 0 && n < 1<<24 && p.fns+8*n < len(rest) {
			for k := range n {
				p.funcs[p.half(p.fns+8*k)-firstFunc] = p.fns + p.half(p.fns+8*k+4)
			}
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

// name returns the name of a function, "" if there is no such function.
func (p *pcln) name(fn int) string {
	at, ok := p.funcs[fn]
	if !ok {
		return ""
	}
	return p.text(p.names + p.half(at+4))
}

// line returns the file and line at an offset in a function; 0 is its beginning.
func (p *pcln) line(fn int, pc uint16) (file string, line int) {
	at, ok := p.funcs[fn]
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

// value reads a table of values by pc. It is a list of pairs of varints: the zigzag difference to the previous
// value, and to the previous pc. They begin at -1 and 0.
func (p *pcln) value(at int, target uint16) int {
	if at == 0 || p.values+at >= len(p.b) {
		return -1
	}
	b := p.b[p.values+at:]
	value, pc := -1, uint64(0)
	for first := true; ; first = false {
		d, n := binary.Uvarint(b)
		if n <= 0 || d == 0 && !first {
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
}
