// Package store keeps runs, their logs, modules and timers in any ordered key-value database.
//
// It hides the database behind [KV] and the layout of keys and values behind [Store]. It guarantees
// that a write is atomic and durable before it returns, that what is read is durable, and that a
// write of an owner whose lease was taken over is refused. It never decides anything about a run.
//
// Keys, values and their version are described in docs/internals/formats.md.
package store
