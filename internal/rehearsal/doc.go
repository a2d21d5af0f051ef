// Package rehearsal runs a workflow to its end without a network and in virtual time, and can kill it
// at every point of its life on the way. It hides the engine, its store and the outside.
//
// It guarantees that nothing leaves the process but what the given handler does itself, that the same
// workflow, input and start draw the same randomness, and that waiting costs nothing. It keeps nothing.
package rehearsal
