// Package rehearsal runs a workflow to its end in virtual time, without a network, and can crash it at every write. It
// hides the engine, its store and the simulated server.
//
// Nothing leaves the process except through the given handler. The same workflow, input and start draw the same random
// numbers. Waiting takes no time. The package stores nothing.
package rehearsal
