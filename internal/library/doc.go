// Package library has the modules of a store: which versions there are, their compiled code, and the schemas of their
// workflows' inputs.
//
// A module is compiled once for all who need it. Modules are added one at a time, so that those of runs never wait behind
// more than one of unknown size. What a module takes in memory is given back when it is refused or removed.
package library
