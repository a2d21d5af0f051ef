package rewrite

// The compiler takes very long for some functions: its passes walk from block to block, and carry every local through
// every loop. A few kilobytes of valid code can keep it busy for hours, and it cannot be stopped in the middle of a
// function. So an upper bound of the work is computed here, and functions above the limit are refused. One unit is
// about a nanosecond. Unlike a clock, the bound is the same on every machine, so a module that was added can be
// loaded everywhere.
const (
	maxFunctionWork = 8e9
	maxWork         = 100e9 // of all functions of a module

	// maxInstructions is the limit for one function. It bounds the memory that the compiler needs.
	maxInstructions = 1 << 17
)

// effort is what the work of compiling a function depends on.
type effort struct {
	arity  int64 // operands and results of blocks, branches and calls
	blocks int64 // points where control flow splits or merges
	locals int64 // instructions that get or set a local
	loops  int64 // loops, and branches to them
	nest   int64 // how deep loops are nested
}

// work returns an upper bound of what it costs to compile the function. For n blocks and l locals it counts each
// instruction and value; the walks up the dominator tree, n²; the values that are live in each block, n·(l + values
// on the stack); and for each edge into a loop the comparison of its parameters with each other, l², once for each
// loop around it.
func (f *found) work() int64 {
	e := &f.effort
	live := min(int64(f.locals), e.locals)
	linear := 1000*(f.all+e.arity) + 150*int64(f.locals)
	return linear + 6*e.blocks*e.blocks + 100*e.blocks*(live+int64(f.operands)) + mul(e.loops*(e.nest+2), live*live)
}

// mul returns a product that saturates instead of overflowing.
func mul(a, b int64) int64 {
	const limit = 1 << 62
	if b != 0 && a > limit/b {
		return limit
	}
	return a * b
}
