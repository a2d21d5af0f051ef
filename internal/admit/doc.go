// Package admit decides when a run may begin. The operator caps how many runs of a module have begun and not ended; the
// caller caps the runs of a concurrency key in the same way.
//
// Its knowledge is a cache of the heads of open runs, read when the server starts. Waiting runs are admitted by
// priority, then by age. A run that waits for its key does not hold up other runs.
//
// A run passes its admission to a child in the same module as soon as the child begins. So parents that wait for
// children cannot use up the cap that the children need.
package admit
