package rewrite

// returnAtOnce is the body of a Go function without parameters and results that does nothing. Go keeps its
// stack pointer in global 0. A function that returns takes its return address, 8 bytes, from the stack, and
// hands back 0: the goroutine goes on.
var returnAtOnce = []byte{
	0, // no locals
	opGlobalGet, 0, opI32Const, 8, opI32Add, opGlobalSet, 0,
	opI32Const, 0, opEnd,
}

// inert returns the functions that are to return at once. Only those of the type that all functions of a Go
// program have can be.
func (m *module) inert() []int {
	if m.options.Inert == nil || len(m.globals) == 0 || m.globals[0].typ != typeI32 || !m.globals[0].mutable {
		return nil
	}
	var out []int
	for _, k := range m.options.Inert(m.data) {
		fn := len(m.imports) + k
		if k >= 0 && fn < len(m.funcs) && m.types[m.funcs[fn]].String() == "(i32)->(i32)" {
			out = append(out, k)
		}
	}
	return out
}
