// Package admit decides when a run may begin. The operator caps how many runs of a module have begun and not ended; the
// caller caps the runs of a concurrency key in the same way.
//
// Its knowledge is a cache of the heads of open runs, read when the server starts. Waiting runs are admitted by
// priority, then by age. A run that waits for its key does not hold up other runs.
//
// With several servers on a database, the owner of the caps (Owner) admits the runs of all servers, which ask it (Asker). A
// server alone has a Control of its own and writes nothing for it.
//
// A run passes its admission to a child in the same module as soon as the child begins. So parents that wait for
// children cannot use up the cap that the children need.
package admit
