// Package turn runs a guest turn by turn: it ends a turn when every goroutine waits, and wakes in the next one those
// whose answers have been delivered.
//
// Goroutines wait here for the answers of their calls, which package abi makes. The order in which they continue
// depends on nothing but the answers and their order, so that a replay takes the same path. Outside a guest the package
// compiles, and every wait returns at once.
package turn
