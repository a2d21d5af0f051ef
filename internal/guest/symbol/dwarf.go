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
	"strings"
	"time"

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
	heads   map[int]flawless.Site
	rows    []row             // by address
	inlines map[int][]inlined // by function, outermost first
}

// row is the source line of the code from an address on.
type row struct {
	from uint64
	site flawless.Site
	own  bool // see isOwnFile
}

// inlined is code of a function that was inlined into another one: its addresses, and the line of the call.
type inlined struct {
	from, to uint64
	depth    int
	origin   dwarf.Offset
	name     string
	site     flawless.Site
	own      bool
}

func readDWARF(bin []byte) *dwarfLines {
	d := &dwarfReader{bin: bin, dwarfLines: dwarfLines{starts: rewrite.FunctionOffsets(bin), heads: map[int]flawless.Site{}, inlines: map[int][]inlined{}}, tables: map[int64][]*dwarf.LineFile{},
		began: time.Now(), names: map[dwarf.Offset]string{}}
	if d.read() != nil {
		return &dwarfLines{starts: d.starts}
	}
	slices.SortStableFunc(d.rows, func(a, b row) int { return cmp.Compare(a.from, b.from) })
	for _, all := range d.inlines {
		for i := range all {
			all[i].name = cmp.Or(d.names[all[i].origin], "inlined")
		}
		slices.SortStableFunc(all, func(a, b inlined) int { return cmp.Compare(a.depth, b.depth) })
	}
	return &d.dwarfLines
}

// frames returns the functions at an address in a function, innermost first, without the function itself, whose line at the address
// comes last.
func (l *dwarfLines) frames(fn int, address uint64) (inner []Frame, site flawless.Site, own bool) {
	k, found := slices.BinarySearchFunc(l.rows, address, func(r row, at uint64) int { return cmp.Compare(r.from, at) })
	if !found {
		k--
	}
	if k >= 0 && l.rows[k].from >= l.starts[fn] {
		site, own = l.rows[k].site, l.rows[k].own
	}
	for _, in := range slices.Backward(l.inlines[fn]) {
		if in.from <= address && address < in.to {
			inner = append(inner, Frame{flawless.StackFrame{Func: in.name, Site: site}, own})
			site, own = in.site, in.own
		}
	}
	return inner, site, own
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

	began time.Time
	names map[dwarf.Offset]string // of functions, with the namespaces that they are in
	path  []string                // names of what the current entry is in, by depth
	kept  int                     // rows of inlined functions
}

// maxReading limits how long inlined functions are looked for. A module that a compiler has made takes a fraction of a second.
const maxReading = 5 * time.Second

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
		d.name(e, depth)
		if e.Tag == dwarf.TagInlinedSubroutine {
			d.keepInlined(e, depth)
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
		d.rows = append(d.rows, row{line.Address, site, isOwnFile(line.File.Name)})
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

// name remembers the name of a function, or of a namespace for the functions in it.
func (d *dwarfReader) name(e *dwarf.Entry, depth int) {
	const maxDepth, maxName = 64, 256
	if e.Tag == 0 || depth < 0 || depth > maxDepth {
		return
	}
	name, _ := e.Val(dwarf.AttrName).(string)
	if e.Tag != dwarf.TagNamespace && e.Tag != dwarf.TagSubprogram && e.Tag != dwarf.TagStructType {
		name = ""
	}
	d.path = append(d.path[:min(depth, len(d.path))], name)
	if e.Tag != dwarf.TagSubprogram || name == "" {
		return
	}
	whole := ""
	for _, part := range d.path {
		if part != "" {
			whole += "::" + part
		}
	}
	if whole = strings.TrimPrefix(whole, "::"); len(whole) <= maxName {
		d.names[e.Offset] = whole
	}
}

// keepInlined remembers where the code of an inlined function is. Damaged information may say that it is everywhere, so there are
// limits.
func (d *dwarfReader) keepInlined(e *dwarf.Entry, depth int) {
	file, _ := e.Val(dwarf.AttrCallFile).(int64)
	at, _ := e.Val(dwarf.AttrCallLine).(int64)
	origin, _ := e.Val(dwarf.AttrAbstractOrigin).(dwarf.Offset)
	if at <= 0 || file < 0 || file >= int64(len(d.files)) || d.files[file] == nil || d.kept > len(d.bin)/8 || time.Since(d.began) > maxReading {
		return
	}
	ranges, err := d.data.Ranges(e)
	if err != nil {
		return
	}
	in := inlined{depth: depth, origin: origin, site: siteOf(d.files[file].Name, int(at)), own: isOwnFile(d.files[file].Name)}
	for _, r := range ranges {
		fn, found := slices.BinarySearch(d.starts, r[0])
		if !found {
			fn--
		}
		if d.kept++; fn >= 0 && r[0] < r[1] {
			in.from, in.to = r[0], r[1]
			d.inlines[fn] = append(d.inlines[fn], in)
		}
	}
}

// isOwnFile reports whether a file belongs to the program's own project: neither to the language, nor to a package from a registry,
// nor to the SDK.
func isOwnFile(path string) bool {
	for _, part := range []string{"/rustc/", "/rustlib/", "/.cargo/", "/cargo/registry/", "/flawless-sdk/", "/flawless-sdk-macros/", "/library/core/", "/library/std/", "/library/alloc/"} {
		if strings.Contains(path, part) {
			return false
		}
	}
	return path != ""
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
