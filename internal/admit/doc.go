// Package admit decides when a run may begin: so many at once of a module, which its operator caps, and of a concurrency
// key, which its caller gives.
//
// What it knows is a cache of the heads of open runs, read when the server starts. A run that may not begin waits in the
// order of priority, then age; one that is kept back by its key holds up nobody else.
//
// A run has no permit of its module while a child of it in the same module has begun: the child has it. So parents that
// wait cannot use up a cap that their children need.
package admit
