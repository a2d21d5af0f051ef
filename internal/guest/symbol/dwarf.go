package symbol

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
	"github.com/flawless-engine/flawless/internal/guest/rewrite"
)

// dwarfLines maps addresses to source lines, from the DWARF in a module's custom sections.
//
// An address is an offset into the content of the code section. Compilers put each function into a sequence of
// rows of its own. Sequences of functions that the linker has removed begin where no function does.
type dwarfLines struct {
	starts []uint64 // of the functions

	// heads are where functions begin, by index: the line of the function itself or, if the compiler gives it
	// none, the first line at which something was inlined into it.
	heads map[int]flawless.Site
	rows  []row // by address
}

// row is the source line of the code from an address on.
type row struct {
	from uint64
	site flawless.Site
}

func readDWARF(bin []byte) *dwarfLines {
	d := &dwarfReader{bin: bin, dwarfLines: dwarfLines{starts: rewrite.FunctionOffsets(bin), heads: map[int]flawless.Site{}}, tables: map[int64][]*dwarf.LineFile{}}
	if d.read() != nil {
		return &dwarfLines{starts: d.starts}
	}
	slices.SortStableFunc(d.rows, func(a, b row) int { return cmp.Compare(a.from, b.from) })
	return &d.dwarfLines
}

// at returns the function at an address, -1 if there is none, and its source line.
func (l *dwarfLines) at(address uint64) (index int, site flawless.Site) {
	last := func(n int, found bool) int {
		if found {
			return n
		}
		return n - 1
	}
	index = last(slices.BinarySearch(l.starts, address))
	k := last(slices.BinarySearchFunc(l.rows, address, func(r row, at uint64) int { return cmp.Compare(r.from, at) }))
	if index >= 0 && k >= 0 && l.rows[k].from >= l.starts[index] {
		site = l.rows[k].site
	}
	return index, site
}

// dwarfReader fills dwarfLines.
type dwarfReader struct {
	dwarfLines
	bin    []byte
	data   *dwarf.Data
	files  []*dwarf.LineFile // of the current unit
	tables map[int64][]*dwarf.LineFile

	fn    int  // current function
	wants bool // it has no head yet
}

var errDWARF = errors.New("the DWARF is damaged")

func (d *dwarfReader) read() (err error) {
	defer func() {
		if p := recover(); p != nil { // debug/dwarf expects the output of a compiler; a module may hold anything
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
	depth, inside := 0, -1             // depth in the tree; and that of the inlined function being skipped
	for range len(d.section("info")) { // an entry has a byte or more, but debug/dwarf does not advance at a truncated number
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

func (d *dwarfReader) section(name string) []byte {
	return rewrite.CustomSection(d.bin, ".debug_"+name)
}

// unit reads the rows of a unit. Units may share a table.
func (d *dwarfReader) unit(e *dwarf.Entry) error {
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
	live := false // the linker kept the function
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

func (d *dwarfReader) subprogram(e *dwarf.Entry) {
	at, there := e.Val(dwarf.AttrLowpc).(uint64)
	if d.fn, d.wants = slices.BinarySearch(d.starts, at); there && d.wants {
		_, has := d.heads[d.fn]
		d.wants = !has
	} else {
		d.wants = false
	}
}

func (d *dwarfReader) inlined(e *dwarf.Entry) {
	file, _ := e.Val(dwarf.AttrCallFile).(int64)
	line, _ := e.Val(dwarf.AttrCallLine).(int64)
	if !d.wants || line <= 0 || file <= 0 || file >= int64(len(d.files)) || d.files[file] == nil {
		return
	}
	if had, has := d.heads[d.fn]; !has || int(line) < had.Line {
		d.heads[d.fn] = siteOf(d.files[file].Name, int(line))
	}
}

// countsFit reports whether a line table has bytes for all the directories and files that it announces.
// debug/dwarf allocates memory for as many as are announced.
func countsFit(rows []byte, at int64) bool {
	const (
		version = 4
		opcodes = 4 + 2 + 2 + 4 + 5 // offset behind length, version, sizes, header length, and row encoding
	)
	if at < 0 || at >= int64(len(rows))-opcodes || binary.LittleEndian.Uint32(rows[at:]) == 0xffffffff {
		return false // 0xffffffff begins the 64-bit format, which 32-bit code does not need
	}
	if binary.LittleEndian.Uint16(rows[at+version:]) < 5 {
		return true // earlier versions announce no counts
	}
	h := header{rows[at+opcodes:], true}
	h.skip(max(h.byte(), 1) - 1)
	for range 2 { // directories, files
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

// header is the unread rest of a line table's header. ok turns false when it is damaged.
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

// value skips a value of DWARF 5 (section 7.5.6). A form that line tables do not use is damage.
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
