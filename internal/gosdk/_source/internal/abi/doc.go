// Package abi is the guest interface, version 1: the functions that the engine offers to a guest, and the descriptors of
// calls. docs/internals/formats.md specifies both.
//
// It makes calls and copies answers, and never waits: package turn does that. Outside a guest the package compiles, but
// there is no engine: calls are ignored and have no answers. Package flawless makes no calls there.
package abi

// CallsFD is the file descriptor for call 0; call n has CallsFD + n.
const CallsFD = 1_000_000
