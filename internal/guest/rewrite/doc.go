// Package rewrite checks a WebAssembly module and changes it once, when it is added.
//
// It hides the binary format. It guarantees that what it returns is a valid core module that
// imports nothing but what is offered, has no data and no start function of its own, exports every
// mutable global, counts what it computes, bounds its stack, and has the same NaN bits on every
// CPU. It refuses what it cannot make so. It never runs a module.
package rewrite

// Version numbers the rewriting. The same bytes, options and version give the same result, so it
// belongs into every key under which a result is kept.
const Version = 7
