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

// Version of the engine, as `flawless version` and GET /api/v1/version tell it.
const Version = "0.1.0"

// LogFormat is the number of the stored form of the log and of the keys it lies under. An engine
// refuses to open a store with a higher number.
const LogFormat = 1

// GuestInterface is the version of the functions a guest imports and exports (docs/internals/formats.md).
const GuestInterface = 1
