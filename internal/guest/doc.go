// Package guest runs WebAssembly modules turn by turn. It hides the WebAssembly runtime.
//
// A guest is deterministic: what it does depends only on the module, the seed, and the input of its turns. Time is
// constant within a turn, random numbers are derived from the seed, and nothing that the guest calls reaches the
// machine. Between two turns a guest is bytes, see [Instance.Hash].
//
// A turn only computes. The package performs no call, and knows nothing of logs.
package guest
