// Package flawless defines the terms of the engine as types: modules, runs, calls, answers and the log.
//
// All layers use these types: the store keeps them, the engine acts on them, and the HTTP API and the command line
// show them. The package does no I/O and depends only on the standard library. The struct tags `cbor` define the
// stored form, whose version is [LogFormat], described in docs/internals/formats.md. The number of a field is never
// reused.
//
// All types are plain data. They are not safe for concurrent modification, and receivers must not change byte slices
// inside them.
package flawless

// Version is the version of this build, as reported by flawless version and GET /api/v1/version; see [Build].
var Version = ThisBuild().Version

// LogFormat is the version of the stored form of the log.
const LogFormat = 1

// StoreFormat is the version of the working directory. An engine refuses to open one with a higher version.
const StoreFormat = 2

// BundleFormat is the version of exported runs that is written. All lower versions can be read.
const BundleFormat = 2

// GuestInterface is the version of the functions that a guest imports and exports (docs/internals/formats.md).
const GuestInterface = 1
