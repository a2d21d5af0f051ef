// Package effect holds what a call can ask for, one file per kind.
//
// It hides how the outside is reached. It guarantees that nothing it performs is repeated by
// itself: one Perform is at most one exchange, and its [Result] says whether the outside can have
// noticed. It never decides about retries, durability or the fate of a run; the engine does.
package effect
