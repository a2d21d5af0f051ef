// Package schedule starts runs at the times of cron expressions.
//
// A timetable decides what is to be started, without I/O and without a clock. The [Scheduler] carries that out and writes
// what it has done. The id of a run follows from its schedule and its time, so a crash between the two costs nothing: the
// run is there, and is found again.
package schedule
