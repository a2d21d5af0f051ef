// Package statelock manages shared states, and detects deadlocks between runs.
//
// One call of one run holds a state at a time. Others queue, in the order of the turns that asked. The holder is
// stored before it is notified. The queue is a cache of the open calls of runs.
package statelock
