// Package statelock has the states that runs share, who holds which, and finds runs that wait for each other.
//
// A state is held by one call of one run at a time; the others queue, in the order of the turns that asked. Who holds a
// state is in the store before the holder is told. Who waits is a cache of the open calls of runs.
package statelock
