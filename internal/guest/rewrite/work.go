package rewrite

// A compiler of machine code takes more than its share of time for some functions: its passes walk
// from block to block, and carry every local through every loop. A few kilobytes of valid code can
// keep it busy for hours, and it cannot be stopped in the middle of a function. So the work is
// estimated here, from above, and refused where it is too much. One unit is about a nanosecond. An
// estimate, unlike a clock, gives the same on every machine: a module that was added can be loaded
// everywhere.
const (
	maxFunctionWork = 8e9
	maxWork         = 100e9 // of all functions of a module

	// maxInstructions of one function bounds what the compiler keeps in memory at a time.
	maxInstructions = 1 << 17
)

// effort counts what a function's compilation depends on.
type effort struct {
	arity  int64 // values that blocks, branches and calls take and leave
	blocks int64 // places where the flow of control splits or meets
	locals int64 // instructions that get or set one
	loops  int64 // the labels of all loops, with the branches to each
	nest   int64 // loops around each other
}

// work estimates what it costs to compile the function. What it counts, for n blocks and l locals:
// each instruction and value; the walks up the tree of dominators, n²; what lives in each block,
// n·(l + values on the stack); and for each edge into a loop the parameters that it carries, which
// are compared with each other, l², again for each loop around.
func (f *found) work() int64 {
	e := &f.effort
	live := min(int64(f.locals), e.locals)
	linear := 1000*(f.all+e.arity) + 150*int64(f.locals)
	return linear + 6*e.blocks*e.blocks + 100*e.blocks*(live+int64(f.most)) + mul(e.loops*(e.nest+2), live*live)
}

// mul is a product that does not overflow.
func mul(a, b int64) int64 {
	const most = 1 << 62
	if b != 0 && a > most/b {
		return most
	}
	return a * b
}
