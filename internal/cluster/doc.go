// Package cluster says which node of several on one database owns which shard, and until when it may act on it.
//
// Each node has a row with a number that it raises every third of the lease's time (TTL). Rows have no times: a node
// calls another one dead when its own clock, which no one can set, saw the number unchanged for longer than the TTL. It
// takes over the shards of the dead node in the same write that marks it dead, so no renewal can slip in between.
//
// A node stops by itself before others may call it dead: past [Member.Deadline] it must start no call, write nothing and
// answer nobody. The clock that decides this runs while the machine sleeps.
//
// The guarantees depend on the rates of clocks, not on what they show: the rates of two machines must not differ by more
// than the margin (a tenth) within a TTL.
package cluster
