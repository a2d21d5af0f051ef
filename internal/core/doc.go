// Package core folds the log of one run into its state, and makes every entry that can come next.
//
// It decides but does not act. [State.Step] applies an entry and returns the attempts to perform once that entry is
// durable. The other methods return entries: after an attempt ([State.Result]), for what is due ([State.Fire]), after a
// crash ([State.Recover]), for decisions by people ([State.Decide], [State.DecideRetry]). Returning an entry changes
// nothing: the caller writes it and applies it. After one or more entries, the caller asks for [State.Consequences],
// which must be in the same write.
//
// The package does no I/O, reads no clock and uses no randomness but the run's own, so a test can drive it through
// every interleaving. It is not safe for concurrent use. Times are Unix nanoseconds.
package core
