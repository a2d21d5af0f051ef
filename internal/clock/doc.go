// Package clock wakes runs when their timers are due.
//
// Timers of the next minute are in memory, later ones only in the store. The virtual clock of rehearsals stands still
// while there is work to do and jumps to the next timer when there is none.
package clock
