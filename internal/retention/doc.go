// Package retention removes ended runs when the time for which their module keeps them is over.
//
// A run whose parent is open, that is in memory, or that cannot be read stays. After a crash in the middle the next start
// finishes what was begun.
package retention
