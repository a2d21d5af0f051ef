// Package store stores runs, their logs, modules, timers and settings in an ordered key-value database.
//
// It hides the database behind [KV], and the layout of keys and values behind [Store]. It guarantees that a write is
// atomic, and durable before it returns, that everything it reads is durable, and that a write under an old lease is
// refused. If indexes are damaged, it rebuilds them from the runs. It decides nothing about runs.
//
// docs/internals/formats.md describes keys and values; package key makes the keys, and package codec encodes the values.
package store
