// Package cache keeps the compiled code of modules on disk, and the other results of loading them, so that a
// restarted server neither rewrites, compiles nor initialises its modules, and need not even read them.
//
// It is a cache: a file that is missing, damaged or made by another version of the engine only costs the time that
// it would have saved. Files are written under a temporary name and renamed, so a crash leaves no incomplete file;
// leftover temporary files are removed after an hour. Several processes may share a directory.
//
// The package does not compile. The names of files with compiled code are chosen by the WebAssembly runtime.
package cache
