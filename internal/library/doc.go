// Package library manages the modules of a store: their versions, their compiled code, and the schemas of their
// workflow inputs.
//
// A module is compiled once for all concurrent users. Modules are added one at a time, so that modules that runs need
// wait for at most one of unknown size. The memory of a module is released when it is refused or removed.
package library
