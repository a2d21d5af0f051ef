// Package clock wakes runs when their timers are due.
//
// The timers of the coming minute are in memory, those behind it lie in the store. A virtual clock, for rehearsals, stands
// still while there is something to do and jumps to the next timer when there is not.
package clock
