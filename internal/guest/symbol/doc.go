// Package symbol finds the names and source lines of a module's functions.
//
// It reads what compilers leave behind for debuggers: the function table that every Go program keeps in its
// memory (pclntab), and the DWARF in the custom sections of other languages. A module may come from anybody,
// so nothing in it is trusted: damaged information is ignored, and never takes more memory than the module
// has bytes for.
//
// It knows nothing of guests, turns or the WebAssembly runtime.
package symbol
