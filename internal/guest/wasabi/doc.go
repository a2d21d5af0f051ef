// Package wasabi runs modules that were built with the crates flawless, flawless-http and flawless-wasabi of
// flawless.dev.
//
// Such a module has no manifest: it is recognised by the names of its exports. It has one host function,
// wasabi.submit, which takes a command, blocks, and returns a result; crates before 1.0.0-beta.1 encode both in
// bincode, later ones in JSON. A [Session] carries out the commands of one run by making calls of the engine's
// own interface, so its runs have ordinary logs and can be replayed, forked and inspected like any other.
//
// The package reaches the guest only through [Guest]. It touches no memory and knows no WebAssembly runtime.
package wasabi
