package rewrite

// returnAtOnce is the body of a Go function without parameters and results that does nothing. Go's stack pointer is
// global 0. A function that returns pops its return address of 8 bytes, and returns 0 so that the goroutine
// continues.
var returnAtOnce = []byte{
	0, // no locals
	opGlobalGet, 0, opI32Const, 8, opI32Add, opGlobalSet, 0,
	opI32Const, 0, opEnd,
}

// inert returns the functions that must return at once. It ignores functions that do not have the type of Go functions.
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
