// Package guest runs WebAssembly modules turn by turn. It hides the WebAssembly runtime.
//
// It guarantees that what a guest does depends on nothing but the module, the seed and what it is
// handed in its turns: time is constant within a turn, randomness is a stream of the seed, and no
// call of the guest reaches the machine. A guest between two turns is bytes; see [Instance.Hash].
//
// It never blocks in a turn for anything but computation, performs no call, and knows no log.
package guest
