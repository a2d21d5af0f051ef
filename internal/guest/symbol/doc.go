// Package symbol finds the names and source lines of a module's functions.
//
// It reads the tables that compilers write for debuggers and stack traces: the function table that every Go program keeps in its
// memory (pclntab), and the DWARF in the custom sections of other languages. Modules are
// not trusted: damaged information is ignored, and reading it takes no more memory than the size of the
// module allows.
//
// It knows nothing of guests, turns or the WebAssembly runtime.
package symbol
