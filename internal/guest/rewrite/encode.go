package rewrite

// encode encodes the module with this code section. mark makes modules differ that are the same otherwise.
func (m *module) encode(code, mark []byte) []byte {
	out := make([]byte, 0, len(code)+len(m.read.bytes)/2)
	out = append(out, 0, 'a', 's', 'm', 1, 0, 0, 0)
	out = putList(out, sectionType, len(m.types)+ownTypes+len(m.addedTypes), m.raw[sectionType], []byte{0x60, 0, 0}, []byte{0x60, 0, 1, typeI64}, m.added)
	hook := putName(putName(nil, hookModule), hookName)
	hook = putU(append(hook, externFunc), uint64(len(m.types)))
	out = putList(out, sectionImport, len(m.imports)+1, m.raw[sectionImport], hook)
	out = putList(out, sectionFunc, len(m.funcs)-len(m.imports)+1, m.raw[sectionFunc], putU(nil, uint64(len(m.types)+1)))
	out = putList(out, sectionTable, len(m.tables), m.raw[sectionTable])
	out = putList(out, sectionMemory, m.memories, m.raw[sectionMemory])
	n, globals := m.putGlobals()
	out = putList(out, sectionGlobal, n, globals)
	n, exports := m.putExports()
	out = putList(out, sectionExport, n, exports)
	out = putList(out, sectionElem, len(m.elems), m.putElems())
	out = putSection(out, sectionCode, code)
	if len(m.names) > 0 {
		out = putSection(out, sectionCustom, append(putName(nil, nameSection), m.names...))
	}
	return putSection(out, sectionCustom, append(putName(nil, markSection), mark...))
}

// ownTypes is how many types are added after those of the module and before those of blocks: the types of the hook
// and of the function WholeName.
const ownTypes = 2

// markSection is the custom section with the mark of a module.
const markSection = reserved + "mark"

func (m *module) putGlobals() (n int, b []byte) {
	for _, g := range m.globals {
		b = append(b, g.typ, 0)
		if g.mutable {
			b[len(b)-1] = 1
		}
		b = m.putExpr(b, g.init)
	}
	b = append(putS(append(b, typeI64, 1, opI64Const), m.options.Quantum), opEnd)
	b = append(putS(append(b, typeI32, 1, opI32Const), int64(m.options.Depth)), opEnd)
	if !m.options.Sites {
		return len(m.globals) + 2, b
	}
	return len(m.globals) + 3, append(b, typeI32, 1, opI32Const, 0, opEnd)
}

func (m *module) putExports() (n int, b []byte) {
	put := func(name string, kind byte, index uint32) {
		n++
		b = putU(append(putName(b, name), kind), uint64(index))
	}
	for _, e := range m.exports {
		if e.kind == externFunc {
			e.index = m.shift(e.index)
		}
		put(e.name, e.kind, e.index)
	}
	for _, g := range m.mutable() {
		put(globalName(g), externGlobal, g)
	}
	if m.options.Sites {
		put(globalName(m.site()), externGlobal, m.site())
	}
	put(WholeName, externFunc, m.shift(uint32(len(m.funcs))))
	if m.start >= 0 {
		put(startName, externFunc, m.shift(uint32(m.start)))
	}
	return n, b
}

// hollow returns a code section whose functions trap at once.
func (m *module) hollow() []byte {
	n := len(m.funcs) - len(m.imports) + 1
	out := putU(nil, uint64(n))
	for range n {
		out = append(out, 3, 0, opUnreachable, opEnd)
	}
	return out
}
