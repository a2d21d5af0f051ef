// Package flawless holds the words of the engine as types: modules, runs, calls, answers and the log.
//
// Every layer passes these types on unchanged: the store keeps them, the engine acts on them, the
// HTTP API and the command line show them. The package has no I/O and depends on the standard
// library alone. The struct tags `cbor` name the fields of the stored form, which is version
// [LogFormat] and described in docs/internals/formats.md; a field's number is never used for something else.
//
// Nothing here may be called wrongly: all types are plain data. They are not safe for concurrent
// modification, and whoever receives one must not change byte slices inside it.
package flawless

// Version of this build, as `flawless version` and GET /api/v1/version give it; see [Build].
var Version = ThisBuild().Version

// LogFormat is the number of the stored form of the log and of the keys it lies under. An engine
// refuses to open a store with a higher number.
const LogFormat = 1

// StoreFormat is the number of what a working directory holds. An engine refuses one with a higher number.
const StoreFormat = 2

// BundleFormat is the number of the exported form of runs that is written. Every lower one can be read.
const BundleFormat = 2

// GuestInterface is the version of the functions a guest imports and exports (docs/internals/formats.md).
const GuestInterface = 1
