// Package effect defines what a call can ask for, one file per kind.
//
// For each [Kind] it parses a call, says how the engine must treat it ([Policy]), and makes its answers. Calls that
// reach the outside it also performs: one Perform is at most one attempt, nothing is repeated behind the engine's back,
// and the [Result] says whether the outside can have noticed. How a request is sent is in package transport.
//
// It does not decide about retries, durability or the state of a run; package core does.
package effect
