package rewrite

import (
	"bytes"
	"fmt"

	"github.com/flawless-engine/flawless"
)

const (
	sectionCustom byte = iota
	sectionType
	sectionImport
	sectionFunc
	sectionTable
	sectionMemory
	sectionGlobal
	sectionExport
	sectionStart
	sectionElem
	sectionCode
	sectionData
	sectionDataCount
	sectionTag
)

// order is the known sections in the order in which they must appear.
var order = []struct {
	id   byte
	name string
}{
	{sectionType, "type section"},
	{sectionImport, "import section"},
	{sectionFunc, "function section"},
	{sectionTable, "table section"},
	{sectionMemory, "memory section"},
	{sectionTag, "tag section"},
	{sectionGlobal, "global section"},
	{sectionExport, "export section"},
	{sectionStart, "start section"},
	{sectionElem, "element section"},
	{sectionDataCount, "data count section"},
	{sectionCode, "code section"},
	{sectionData, "data section"},
}

// decode reads all sections except code, of which it only notes where it is.
func (m *module) decode() error {
	m.start, m.dataCount = -1, -1
	if err := header(m.read.bytes); err != nil {
		return err
	}
	m.read.pos = 8
	position := -1
	var names reader
	for m.read.more() {
		id := m.read.byte()
		size := m.read.count(1)
		if id == sectionCustom {
			part := m.read.part(size, "custom section")
			name := part.name()
			if part.err != nil {
				return part.err
			}
			if name == nameSection {
				names = part
			}
			continue
		}
		next := positionOf(id)
		if next < 0 {
			m.read.damaged("there is a section of the unknown kind %d", id)
			break
		}
		if next <= position {
			m.read.damaged("the %s is out of order or appears twice", order[next].name)
			break
		}
		position = next
		part := m.read.part(size, order[next].name)
		if err := m.section(id, &part); err != nil {
			return err
		}
	}
	if m.read.err != nil {
		return m.read.err
	}
	m.names = m.shiftNames(names)
	return nil
}

func header(b []byte) error {
	if len(b) < 8 || !bytes.Equal(b[:4], []byte("\x00asm")) {
		return fmt.Errorf("reading the module: this is not a WebAssembly file, it does not start with \\0asm; "+
			"build one with: flawless build: %w", flawless.Invalid)
	}
	switch version, layer := uint16(b[4])|uint16(b[5])<<8, uint16(b[6])|uint16(b[7])<<8; {
	case layer != 0:
		return fmt.Errorf("reading the module: this is a component, and the engine runs core modules; "+
			"build a core module, for wasip1 or wasm32-unknown-unknown: %w", flawless.Refused)
	case version != 1:
		return fmt.Errorf("reading the module: version %d of WebAssembly is not supported, only version 1 is; "+
			"build for version 1: %w", version, flawless.Refused)
	}
	return nil
}

func positionOf(id byte) int {
	for i, s := range order {
		if s.id == id {
			return i
		}
	}
	return -1
}

func (m *module) section(id byte, r *reader) error {
	if r.err != nil {
		return r.err
	}
	switch id {
	case sectionType:
		m.readTypes(r)
	case sectionImport:
		m.readImports(r)
	case sectionFunc:
		m.readFuncs(r)
	case sectionTable:
		m.readTables(r)
	case sectionMemory:
		m.readMemories(r)
	case sectionTag:
		r.refuse("it uses exceptions; build without them")
	case sectionGlobal:
		m.readGlobals(r)
	case sectionExport:
		m.readExports(r)
	case sectionStart:
		m.start = int(m.readFunc(r))
	case sectionElem:
		m.readElems(r)
	case sectionDataCount:
		m.dataCount = int64(r.u32())
	case sectionCode:
		m.bodies = *r
		return nil
	case sectionData:
		m.readData(r)
	}
	return r.done()
}

// listLimits are the maximum numbers of items in sections.
var listLimits = map[byte]struct {
	n    int
	what string
}{
	sectionType:   {maxTypes, "types"},
	sectionImport: {maxImports, "imports"},
	sectionFunc:   {maxFunctions, "functions"},
	sectionTable:  {maxTables, "tables"},
	sectionGlobal: {maxGlobals, "globals"},
	sectionExport: {maxExports, "exports"},
	sectionElem:   {maxElems, "segments of elements"},
	sectionData:   {maxSegments, "pieces of data"},
}

// list reads a count and calls read for each item. It keeps the bytes of all items under id.
func (m *module) list(id byte, r *reader, min int, read func()) {
	n := r.count(min)
	start := r.pos
	if limit, there := listLimits[id]; there {
		r.atMost(limit.n, n, limit.what)
	}
	for i := 0; i < n && r.err == nil; i++ {
		read()
	}
	if r.err == nil {
		m.raw[id] = r.bytes[start:r.pos]
	}
}

// check checks what concerns the whole module.
func (m *module) check() error {
	r := &m.read
	r.where = "module"
	if missing := m.missing(); len(missing) > 0 {
		r.err = missingError(missing)
	}
	if m.bodies.bytes == nil && len(m.funcs) > len(m.imports) {
		r.damaged("%d functions are announced and there is no code", len(m.funcs)-len(m.imports))
	}
	if m.dataCount >= 0 && m.dataCount != int64(m.segments) {
		r.damaged("%d pieces of data are announced, there are %d", m.dataCount, m.segments)
	}
	exported := false
	for _, e := range m.exports {
		exported = exported || e.kind == externMemory && e.name == "memory"
	}
	if !exported {
		r.refuse("no memory is exported as \"memory\", which the engine needs; export it (a linker's --export-memory), or build for wasip1")
	}
	if m.start >= 0 {
		if t := m.types[m.funcs[m.start]]; len(t.params)+len(t.results) > 0 {
			r.damaged("the start function has the type %s", t)
		}
	}
	return r.err
}

func missingError(missing []string) error {
	const maxNames = 20
	text := "import " + missing[0] + " is"
	if n := len(missing); n > 1 {
		text = "imports "
		for i, name := range missing[:min(n, maxNames)] {
			if i > 0 {
				text += ", "
			}
			text += name
		}
		if n > maxNames {
			text += fmt.Sprintf(" and %d more", n-maxNames)
		}
		text += " are"
	}
	return fmt.Errorf("reading the import section: %s not offered by the engine; a workflow reaches the outside only through calls: "+
		"remove what needs it, or build for wasip1: %w", text, flawless.Refused)
}
