// Package engine runs workflows to completion.
//
// An [Engine] claims a store, accepts runs, and continues every accepted run after any crash until it ends or needs a
// person. A server, a rehearsal or a test opens one. What happens within one run (turns, writes, calls) is in package
// live. What runs do to each other is here: children, messages, promises, shared state, deadlocks. So are operations on
// a run as a whole: starting, querying, forking, upgrading, exporting and removing it.
//
// It guarantees the promises of the project's README; docs/internals/tests.md lists the tests of each. Components that
// work without the engine are returned as they are: [Engine.Schedules], [Engine.Limits], [Engine.Policy],
// [Engine.States], [Engine.Secrets].
package engine
