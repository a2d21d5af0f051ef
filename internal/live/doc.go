// Package live keeps the open runs in memory and executes them.
//
// A [Run] is a cache of its log, and of the guest at the end of it. Each change of its state appends an entry, and starts
// a driver unless the run has one. The driver takes turns, writes, and begins calls until there is nothing left to do.
// The [Registry] has at most one Run of an id, makes it from the log when it is acquired, and evicts it when it is no
// longer needed.
//
//	registry    which runs are in memory, and the six verbs for using one
//	run         what other packages may do with a run
//	journal     the state of a run, its unwritten entries, and its writes
//	driver      takes turns
//	perform     performs calls
//	permit      attempts that wait for a rate limit
//	image       freezes guests and thaws them
//	errand      calls that the engine carries out itself, in order
//	quarantine  runs that cannot continue, and seizing a run
//	rest        what a run waits for, for the detection of deadlocks
//	counts      counters for metrics
//
// Package core decides what to do, without I/O. This package guarantees that nothing leaves it before the entries it
// depends on are durable, and that a call which may have taken effect is not sent again unless core says so. The
// [Handler] above it decides what follows from a durable entry for other runs.
package live
