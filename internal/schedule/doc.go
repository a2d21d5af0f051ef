// Package schedule starts runs at the times of cron expressions.
//
// A timetable decides what to start, without I/O and without a clock. The [Scheduler] carries the decisions out and
// stores what it did. The id of a run follows from its schedule and time, so after a crash between the two steps the
// run is found again.
package schedule
