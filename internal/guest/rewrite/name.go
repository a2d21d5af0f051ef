package rewrite

import "fmt"

const nameSection = "name"

// shiftNames returns the content of the name section of the result, with the names of the module and its functions. A
// damaged name section is left out: it is for people, and does not make a module invalid.
func (m *module) shiftNames(r reader) []byte {
	var out []byte
	last := -1
	for r.more() {
		id := r.byte()
		part := r.part(r.count(1), "name section")
		if part.err != nil || int(id) <= last {
			return nil
		}
		last = int(id)
		switch id {
		case 0:
			out = putSection(out, id, putName(nil, part.name()))
		case 1:
			out = putSection(out, id, m.funcNames(&part))
		default:
			continue
		}
		if part.done() != nil {
			return nil
		}
	}
	return out
}

// funcNames returns the names of functions by their new indices. flawless.quantum has no name.
func (m *module) funcNames(r *reader) []byte {
	n := r.count(2)
	out := putU(make([]byte, 0, r.end-r.pos+8), uint64(n))
	for last := -1; n > 0 && r.err == nil; n-- {
		fn, start := m.readFunc(r), r.pos
		r.name()
		if int(fn) <= last {
			r.damaged("the names are out of order")
		}
		last = int(fn)
		out = append(putU(out, uint64(m.shift(fn))), r.bytes[start:r.pos]...)
	}
	return out
}

// inFunc adds the number and the name of the function in which an error was found.
func (m *module) inFunc(fn uint32, err error) error {
	name := m.funcName(fn)
	if name == "" {
		return fmt.Errorf("function %d: %w", fn, err)
	}
	return fmt.Errorf("function %d (%.100s): %w", fn, name, err)
}

// funcName returns the name of a function, "" if it has none.
func (m *module) funcName(fn uint32) string {
	r := reader{bytes: m.names, end: len(m.names)}
	for r.more() {
		id := r.byte()
		part := r.part(r.count(1), "name section")
		if id != 1 {
			continue
		}
		for n := part.count(2); n > 0 && part.err == nil; n-- {
			if i, name := part.u32(), part.name(); i == m.shift(fn) {
				return name
			}
		}
	}
	return ""
}
