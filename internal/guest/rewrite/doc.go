// Package rewrite checks a WebAssembly module and rewrites it once, when it is added.
//
// It hides the binary format. The result is a valid core module that imports only offered functions, has no data and no
// start function of its own, exports every mutable global, meters its computation, bounds its stack, and produces the
// same NaN bits on every CPU. A module that cannot be rewritten in this way is refused. The package never runs a module.
package rewrite

// Version is the version of the rewriting. The same bytes, options and version give the same result, so the version is
// part of every key under which a result is kept.
const Version = 8
