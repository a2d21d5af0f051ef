// Package rewrite checks a WebAssembly module and changes it once, when it is added.
//
// It hides the binary format. It guarantees that what it returns is a valid core module that
// imports nothing but what is offered, has no data and no start function of its own, exports every
// mutable global, counts what it computes, bounds its stack, and has the same NaN bits on every
// CPU. It refuses what it cannot make so. It never runs a module.
package rewrite

// CONTRACT
//
//	const Version = 1 // of the rewriting; part of every cache key
//	type Options struct {
//		Offered func(module, name string) bool // nil offers nothing
//		Quantum int64  // metered units between two calls of flawless.quantum (imported by the result: () -> ())
//		Depth   int32  // calls on the guest's stack at most
//	}
//	type Result struct {
//		Binary  []byte    // the module that runs
//		Data    []Segment // what the host lays into memory before Start: merged, in order, not overlapping
//		Start   string    // export name of the start function, "" where there is none
//		Globals []string  // export names of all mutable globals, in order of index: program state
//		Units   string    // export name of the i64 global that counts down; at < 0 flawless.quantum is called, which sets it anew
//		Depth   string    // export name of the i32 global with the depth that is left
//		MinPages, MaxPages uint32 // of memory; MaxPages 0 where not bounded
//		Exports map[string]string // exported functions and their type, as "(i32,i32)->(i32)"
//	}
//	type Segment struct { Offset uint32; Bytes []byte }
//	func Rewrite(bin []byte, o Options) (*Result, error) // errors are flawless.Refused or flawless.Invalid, text says what, why, what to do
