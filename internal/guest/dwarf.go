package guest

import (
	"bytes"
	"cmp"
	"debug/dwarf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/flawless-engine/flawless"
)

// source says where in the source the code of a module is, from the DWARF in its custom sections. Without
// DWARF that can be read it is empty: lines are for people, and no module is refused for them.
//
// An address is an offset into the content of the code section. Compilers put each function into a
// sequence of rows of its own; those of functions that the linker has removed begin where none does.
type source struct {
	starts []uint64 // of the functions

	// heads are where functions begin, by index without imports: the line at which one does or, where the
	// compiler gives it none of its own, the first at which something was inlined into it.
	heads map[int]flawless.Site
	rows  []row // by address
}

// row is where the code from an address on comes from.
type row struct {
	from uint64
	site flawless.Site
}

func sourceOf(bin []byte) *source {
	d := &debugInfo{bin: bin, source: source{starts: functionStarts(bin), heads: map[int]flawless.Site{}}, tables: map[int64][]*dwarf.LineFile{}}
	if d.read() != nil {
		return &source{starts: d.starts}
	}
	slices.SortStableFunc(d.rows, func(a, b row) int { return cmp.Compare(a.from, b.from) })
	return &d.source
}

// at returns the function that an address lies in, by index without imports and -1 where there is none, and
// where its code comes from.
func (s *source) at(address uint64) (index int, site flawless.Site) {
	last := func(n int, found bool) int {
		if found {
			return n
		}
		return n - 1
	}
	index = last(slices.BinarySearch(s.starts, address))
	k := last(slices.BinarySearchFunc(s.rows, address, func(r row, at uint64) int { return cmp.Compare(r.from, at) }))
	if index >= 0 && k >= 0 && s.rows[k].from >= s.starts[index] {
		site = s.rows[k].site
	}
	return index, site
}

type debugInfo struct {
	source
	bin    []byte
	data   *dwarf.Data
	files  []*dwarf.LineFile // of the unit that is read
	tables map[int64][]*dwarf.LineFile

	fn    int // that is read
	wants bool
}

var errDWARF = errors.New("the DWARF is not as a compiler writes it")

func (d *debugInfo) read() (err error) {
	defer func() {
		if p := recover(); p != nil { // debug/dwarf is made for what compilers write, this is anybody's
			err = fmt.Errorf("%w: %v", errDWARF, p)
		}
	}()
	d.data, err = dwarf.New(d.section("abbrev"), nil, nil, d.section("info"), d.section("line"), nil, d.section("ranges"), d.section("str"))
	if err != nil {
		return err
	}
	for _, name := range []string{"addr", "line_str", "str_offsets", "rnglists"} {
		if err := d.data.AddSection(".debug_"+name, d.section(name)); err != nil {
			return err
		}
	}
	entries := d.data.Reader()
	depth, inside := 0, -1             // of the tree; and of what is inlined and passed over
	for range len(d.section("info")) { // each has a byte at least; debug/dwarf stands still at a number that is cut
		e, err := entries.Next()
		if err != nil || e == nil {
			return err
		}
		switch {
		case e.Tag == 0: // the end of a list
			if depth--; depth <= inside {
				inside = -1
			}
		case e.Tag == dwarf.TagCompileUnit:
			depth, inside = 0, -1
			if err := d.unit(e); err != nil {
				return err
			}
		case e.Tag == dwarf.TagSubprogram && inside < 0:
			d.subprogram(e)
		case e.Tag == dwarf.TagInlinedSubroutine && inside < 0:
			d.inlined(e)
			if e.Children {
				inside = depth
			}
		}
		if e.Children {
			depth++
		}
	}
	return nil
}

func (d *debugInfo) section(name string) []byte { return customSection(d.bin, ".debug_"+name) }

// unit reads the rows of a unit. Units may share a table.
func (d *debugInfo) unit(e *dwarf.Entry) error {
	d.files, d.wants = nil, false
	at, there := e.Val(dwarf.AttrStmtList).(int64)
	if files, known := d.tables[at]; !there || known {
		d.files = files
		return nil
	}
	if !countsFit(d.section("line"), at) {
		return errDWARF
	}
	rows, err := d.data.LineReader(e)
	if err != nil || rows == nil {
		return err
	}
	d.files = rows.Files()
	d.tables[at] = d.files
	var line dwarf.LineEntry
	live := false // the function is there
	for first := true; ; first = line.EndSequence {
		if err := rows.Next(&line); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		fn, begins := slices.BinarySearch(d.starts, line.Address)
		if first {
			live = begins
		}
		if !live || line.EndSequence || line.File == nil || line.Line <= 0 {
			continue
		}
		site := siteOf(line.File.Name, line.Line)
		if first {
			d.heads[fn] = site
		}
		d.rows = append(d.rows, row{line.Address, site})
	}
}

func (d *debugInfo) subprogram(e *dwarf.Entry) {
	at, there := e.Val(dwarf.AttrLowpc).(uint64)
	if d.fn, d.wants = slices.BinarySearch(d.starts, at); there && d.wants {
		_, has := d.heads[d.fn]
		d.wants = !has
	} else {
		d.wants = false
	}
}

func (d *debugInfo) inlined(e *dwarf.Entry) {
	file, _ := e.Val(dwarf.AttrCallFile).(int64)
	line, _ := e.Val(dwarf.AttrCallLine).(int64)
	if !d.wants || line <= 0 || file <= 0 || file >= int64(len(d.files)) || d.files[file] == nil {
		return
	}
	if had, has := d.heads[d.fn]; !has || int(line) < had.Line {
		d.heads[d.fn] = siteOf(d.files[file].Name, int(line))
	}
}

// countsFit tells whether a table of rows does not announce more folders and files than it has bytes
// for: debug/dwarf makes room for as many as are announced.
func countsFit(rows []byte, at int64) bool {
	const (
		version = 4
		opcodes = 4 + 2 + 2 + 4 + 5 // behind length, version, sizes, length of the header, how rows are coded
	)
	if at < 0 || at >= int64(len(rows))-opcodes || binary.LittleEndian.Uint32(rows[at:]) == 0xffffffff {
		return false // the last is the form for 64 bits, which 32-bit code has no use for
	}
	if binary.LittleEndian.Uint16(rows[at+version:]) < 5 {
		return true // it announces nothing
	}
	h := header{rows[at+opcodes:], true}
	h.skip(max(h.byte(), 1) - 1)
	for range 2 { // folders, files
		forms := make([]uint64, h.byte())
		for i := range forms {
			h.number()
			forms[i] = h.number()
		}
		n := h.number()
		for k := uint64(0); k < n && h.ok; k++ {
			for _, form := range forms {
				h.value(form)
			}
			h.ok = h.ok && len(forms) > 0
		}
	}
	return h.ok
}

// header is the rest of one that is stepped through; ok is false once it is not as it should be.
type header struct {
	b  []byte
	ok bool
}

func (h *header) skip(n uint64) {
	if h.ok = h.ok && n <= uint64(len(h.b)); h.ok {
		h.b = h.b[n:]
	}
}

func (h *header) byte() (v uint64) {
	if len(h.b) > 0 {
		v = uint64(h.b[0])
	}
	h.skip(1)
	return v
}

func (h *header) number() uint64 {
	v, n := binary.Uvarint(h.b)
	if h.ok = h.ok && n > 0; h.ok {
		h.b = h.b[n:]
		return v
	}
	return 0
}

// value steps over a value of DWARF 5 (section 7.5.6). A form that no table of rows has is not ok.
func (h *header) value(form uint64) {
	switch form {
	case 0x08: // string
		at := bytes.IndexByte(h.b, 0)
		if h.ok = h.ok && at >= 0; h.ok {
			h.skip(uint64(at) + 1)
		}
	case 0x0b, 0x25: // data1, strx1
		h.skip(1)
	case 0x05, 0x26: // data2, strx2
		h.skip(2)
	case 0x06, 0x0e, 0x17, 0x1f: // data4, strp, sec_offset, line_strp
		h.skip(4)
	case 0x07: // data8
		h.skip(8)
	case 0x1e: // data16
		h.skip(16)
	case 0x0f, 0x1a: // udata, strx
		h.number()
	case 0x09: // block
		h.skip(h.number())
	default:
		h.ok = false
	}
}

// functionStarts returns where the functions of a module begin in the content of its code section.
func functionStarts(bin []byte) (starts []uint64) {
	var code []byte
	for id, content := range sections(bin) {
		if id == 10 {
			code = content
		}
	}
	n, rest := leb(code)
	for range n {
		size, body := leb(rest)
		if size > uint64(len(body)) || len(body) == 0 {
			return nil
		}
		starts = append(starts, uint64(len(code)-len(body)))
		rest = body[size:]
	}
	return starts
}
