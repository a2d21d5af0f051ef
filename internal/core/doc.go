// Package core is the log of one run folded into its state, and every entry that can come next.
//
// It decides and does nothing. [State.Step] takes in an entry and returns the tries to perform once that entry is
// durable. The other methods return entries: what becomes of a try ([State.Result]), of what is due ([State.Fire]), of a
// crash ([State.Lost]), of what a person says ([State.Decide], [State.Urge]). Returning an entry changes nothing; the caller
// writes it and takes it in. After each entry, or several, the caller asks for [State.Consequences], which belong to the
// same write.
//
// It does no I/O, reads no clock and draws no randomness but the run's own, so a test can drive it through every
// interleaving. It is not safe for concurrent use. Times are Unix nanoseconds.
package core
