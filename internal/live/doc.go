// Package live has the open runs in memory, and carries them on.
//
// A [Run] is a cache of its log, and of the guest at the end of it. Each change of its state appends an entry, and starts
// a driver unless the run has one. The driver takes turns, writes and performs calls until there is nothing left to do.
// The [Registry] has at most one Run of an id, makes it from the log when it is acquired, and evicts it when it is no
// longer needed.
//
//	registry    which runs are in memory, and who may touch them
//	journal     what is written of a run, and when it is durable
//	driver      who takes its turns
//	perform     how its calls are carried out
//	image       how its guest is frozen and made again
//	errand      calls that the engine carries out within itself, in order
//	quarantine  runs that cannot continue
//
// What to do is decided in package core, without I/O. This package guarantees that nothing leaves it before what it
// depends on is durable, and that a call which may have taken effect is not sent again unless core says so. What follows
// from a durable entry for other runs is left to the [Handler] above.
package live
