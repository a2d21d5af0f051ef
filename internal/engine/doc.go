// Package engine runs workflows to completion.
//
// It joins the packages below it and is what a server, a rehearsal or a test holds: it claims a store, accepts runs, and
// carries on every accepted run after any crash until it ends, or needs a person. What happens within one run (its turns,
// writes, calls) is in package live. What runs do to each other is here: children, messages, promises, shared state,
// deadlocks. So is what is done with a run as a whole: starting, querying, forking, upgrading, exporting and removing it.
//
// It guarantees the promises of docs/internals/architecture.md, and hides how. Components that do their work without the
// engine are returned as they are: [Engine.Schedules], [Engine.Limits], [Engine.Policy], [Engine.States],
// [Engine.Secrets].
package engine
