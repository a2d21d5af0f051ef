// Package cache keeps on disk what loading a module has found out, and the module's compiled code, so that a server
// that starts again neither rewrites, compiles nor initialises its modules, and need not even read them.
//
// It is a cache: a file that is missing, damaged or made by another version of the engine only costs the time that
// it would have saved. Files are written under a temporary name and renamed, so a crash leaves no half of one; what
// it does leave is removed an hour later. Several processes may share a directory.
//
// The package does not compile. The names of files with compiled code are chosen by the WebAssembly runtime.
package cache
