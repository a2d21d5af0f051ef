package rewrite

import "strings"

// Limits of a module. They bound what a few bytes of a module can cost when it is checked and compiled, and in each
// of its instances. Compilers stay far below them.
const (
	maxTypes     = 10_000
	maxParams    = 1000
	maxValues    = 200_000 // parameters and results of all types
	maxImports   = 1000
	maxFunctions = 1 << 18
	maxTables    = 100
	maxElements  = 1 << 20 // of all tables, and in all segments
	maxGlobals   = 10_000
	maxExports   = 20_000
	maxElems     = 10_000  // segments of elements
	maxSegments  = 1 << 21 // of data; Go has one for each run of bytes that are not zero
	maxName      = 4096    // bytes, of an import or export
	maxPages     = 1 << 16
)

// atMost refuses a module that has more than limit of something.
func (r *reader) atMost(limit, n int, what string) {
	if n > limit {
		r.refuse("it has %d %s, at most %d are allowed; build a smaller module", n, what, limit)
	}
}

// shortName reads the name of an import or export.
func (r *reader) shortName() string {
	s := r.name()
	if len(s) > maxName {
		r.refuse("the name %.40q… has %d bytes, at most %d are allowed; give it a shorter one", s, len(s), maxName)
		return ""
	}
	return s
}

func (m *module) readTypes(r *reader) {
	values := 0
	m.list(sectionType, r, 3, func() {
		switch form := r.byte(); form {
		case 0x60:
			t := funcType{params: m.valTypes(r), results: m.valTypes(r)}
			values += len(t.params) + len(t.results)
			r.atMost(maxValues, values, "parameters and results in its types")
			m.types = append(m.types, t)
		case 0x4e, 0x4f, 0x50, 0x5c, 0x5d, 0x5e, 0x5f:
			r.refuse("it uses garbage collected types; build without them (the GC proposal)")
		default:
			r.damaged("a type has the unknown form 0x%x", form)
		}
	})
}

func (m *module) valTypes(r *reader) []byte {
	n := r.count(1)
	if n > maxParams {
		r.refuse("a function has %d parameters or results, at most %d are allowed; pass them in memory", n, maxParams)
		return nil
	}
	b := r.take(n)
	for _, t := range b {
		checkType(r, t)
	}
	return b
}

func checkType(r *reader, t byte) {
	switch t {
	case typeI32, typeI64, typeF32, typeF64, typeV128, typeFuncref, typeExternref:
	case 0x63, 0x64, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x71, 0x72, 0x73:
		r.refuse("it uses garbage collected types or typed references (0x%x); build without them (the GC proposal)", t)
	case 0x69, 0x74:
		r.refuse("it uses exceptions; build without them")
	default:
		r.damaged("0x%x is not the type of a value", t)
	}
}

func (m *module) readImports(r *reader) {
	m.list(sectionImport, r, 4, func() {
		im := imported{module: r.shortName(), name: r.shortName()}
		switch kind := r.byte(); kind {
		case externFunc:
			m.funcs = append(m.funcs, m.readType(r))
		case externMemory:
			r.refuse("import %.100s.%.100s is a memory, but a module must have its own; build without the linker's --import-memory", im.module, im.name)
		case externTable, externGlobal:
			r.refuse("import %.100s.%.100s is a table or a global, but only functions can be imported; build one whole module instead of a part that is linked at run time", im.module, im.name)
		case externTag:
			r.refuse("it uses exceptions (import %.100s.%.100s); build without them", im.module, im.name)
		default:
			r.damaged("import %.100s.%.100s is of the unknown kind %d", im.module, im.name, kind)
		}
		if im == (imported{hookModule, hookName}) {
			r.refuse("import %.100s.%.100s is reserved for the engine; remove it", im.module, im.name)
		}
		m.imports = append(m.imports, im)
	})
}

func (m *module) readType(r *reader) uint32 {
	i := r.u32()
	if r.err == nil && int64(i) >= int64(len(m.types)) {
		r.damaged("type %d does not exist", i)
		return 0
	}
	return i
}

func (m *module) readFunc(r *reader) uint32 {
	i := r.u32()
	if r.err == nil && int64(i) >= int64(len(m.funcs)) {
		r.damaged("function %d does not exist", i)
		return 0
	}
	return i
}

func (m *module) readFuncs(r *reader) {
	m.list(sectionFunc, r, 1, func() { m.funcs = append(m.funcs, m.readType(r)) })
}

func (m *module) readTables(r *reader) {
	elements := uint64(0)
	m.list(sectionTable, r, 3, func() {
		t := table{elem: r.byte()}
		if t.elem != typeFuncref && t.elem != typeExternref {
			r.refuse("a table has elements of the type 0x%x, only funcref and externref are supported; build without the GC proposal", t.elem)
		}
		t.limits = m.readLimits(r, 1<<32-1)
		if elements += uint64(t.min); elements > maxElements {
			r.refuse("its tables have %d elements, at most %d are allowed; build a smaller module", elements, maxElements)
		}
		m.tables = append(m.tables, t)
	})
}

func (m *module) readMemories(r *reader) {
	m.list(sectionMemory, r, 2, func() {
		m.memories++
		if m.memories > 1 {
			r.refuse("it has more than one memory; build it with one (without the multi-memory proposal)")
		}
		m.memory = m.readLimits(r, maxPages)
	})
}

func (m *module) readLimits(r *reader, highest uint32) limits {
	flags := r.byte()
	switch {
	case flags&^7 != 0:
		r.damaged("limits have the unknown flags 0x%x", flags)
	case flags&4 != 0:
		r.refuse("it uses 64-bit addresses; build it for wasm32 (without the memory64 proposal)")
	case flags&2 != 0:
		r.refuse("its memory is shared between threads; build it without threads")
	}
	l := limits{min: r.u32(), bounded: flags&1 != 0}
	if l.bounded {
		l.max = r.u32()
	}
	if l.min > highest || l.max > highest || l.bounded && l.max < l.min {
		r.damaged("the limits %d to %d are not valid", l.min, l.max)
	}
	return l
}

func (m *module) readGlobals(r *reader) {
	m.list(sectionGlobal, r, 4, func() {
		g := global{typ: r.byte()}
		checkType(r, g.typ)
		switch flag := r.byte(); flag {
		case 0, 1:
			g.mutable = flag == 1
		default:
			r.damaged("a global has the unknown flags 0x%x", flag)
		}
		if g.mutable && (g.typ == typeV128 || g.typ == typeFuncref || g.typ == typeExternref) {
			r.refuse("global %d is mutable and of type %s, which cannot be kept in an image; keep such values in memory", len(m.globals), typeName(g.typ))
		}
		g.init = m.constant(r, g.typ, "the initial value of a global")
		m.globals = append(m.globals, g)
	})
}

// constant reads a constant expression of the type want.
func (m *module) constant(r *reader, want byte, what string) expr {
	var e expr
	start := r.pos
	switch op := r.byte(); op {
	case opI32Const:
		e.typ = typeI32
		r.s32()
	case opI64Const:
		e.typ = typeI64
		r.s64()
	case opF32Const:
		e.typ = typeF32
		r.take(4)
	case opF64Const:
		e.typ = typeF64
		r.take(8)
	case opRefNull:
		if e.typ = r.byte(); e.typ != typeFuncref && e.typ != typeExternref {
			r.refuse("%s is a null of the type 0x%x; build without the GC proposal", what, e.typ)
		}
	case opRefFunc:
		e.typ, e.isFunc, e.fn = typeFuncref, true, m.readFunc(r)
		m.declare(r, e.fn)
	case opSIMD:
		e.typ = typeV128
		if r.u32() != simdConst {
			r.damaged("%s is not constant", what)
		}
		r.take(16)
	case opGlobalGet:
		r.refuse("%s comes from a global instead of a constant; link it as one module with fixed addresses (not position independent)", what)
	default:
		r.damaged("%s is not constant", what)
	}
	e.bytes = r.bytes[start:r.pos]
	switch next := r.byte(); {
	case next == opEnd:
	case r.err == nil:
		r.refuse("%s is computed instead of constant; build without the extended-const proposal, with fixed addresses", what)
	}
	if r.err == nil && e.typ != want {
		r.damaged("%s has the type %s, and not %s", what, typeName(e.typ), typeName(want))
	}
	return e
}

// declare records that ref.func may name fn.
func (m *module) declare(r *reader, fn uint32) {
	if r.err != nil {
		return
	}
	if m.declared == nil {
		m.declared = make([]bool, len(m.funcs))
	}
	m.declared[fn] = true
}

func (m *module) readExports(r *reader) {
	seen := make(map[string]bool)
	m.list(sectionExport, r, 3, func() {
		e := export{name: r.shortName(), kind: r.byte()}
		have := 0
		switch e.kind {
		case externFunc:
			have = len(m.funcs)
		case externTable:
			have = len(m.tables)
		case externMemory:
			have = m.memories
		case externGlobal:
			have = len(m.globals)
		case externTag:
			r.refuse("it uses exceptions (export %.100q); build without them", e.name)
		default:
			r.damaged("export %.100q is of the unknown kind %d", e.name, e.kind)
		}
		e.index = r.u32()
		switch {
		case r.err != nil:
			return
		case int64(e.index) >= int64(have):
			r.damaged("export %.100q names number %d of %d", e.name, e.index, have)
		case seen[e.name]:
			r.damaged("there are two exports %.100q", e.name)
		case strings.HasPrefix(e.name, reserved):
			r.refuse("export %.100q starts with %q, which is reserved for the engine; give it another name", e.name, reserved)
		case e.kind == externFunc:
			m.declare(r, e.index)
		}
		seen[e.name] = true
		m.exports = append(m.exports, e)
	})
}
