package rewrite

// shiftNames returns the name section for the result, and the module's name in it. Only names of
// functions and of the module are kept. A damaged name section is left out: it is for people.
func (m *module) shiftNames(r reader) (names, moduleName []byte) {
	if r.bytes == nil {
		return nil, nil
	}
	for r.more() {
		id := r.byte()
		part := r.part(r.count(1), "name section")
		if part.err != nil {
			return nil, nil
		}
		switch id {
		case 0:
			moduleName = part.bytes[part.pos:part.end]
			names = putSection(names, 0, moduleName)
		case 1:
			n := part.count(2)
			b := putU(nil, uint64(n))
			for range n {
				b = putU(b, uint64(m.shift(part.u32())))
				b = putName(b, part.name())
			}
			if part.err != nil {
				return nil, moduleName
			}
			names = putSection(names, 1, b)
		}
	}
	return names, moduleName
}
