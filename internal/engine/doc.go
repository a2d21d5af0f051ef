// Package engine runs runs: it claims them, takes their turns, writes, performs calls, wakes,
// recovers and replays.
//
// It joins guest, effect and store, and hides how. It guarantees the promises of docs/internals/architecture.md:
// nothing leaves it before what it depends on is durable, a call that might have taken effect is
// never sent again unless it is idempotent or a person says so, and every accepted run goes on
// after any crash. What to do is decided in core.go, without I/O; the rest carries it out.
package engine
