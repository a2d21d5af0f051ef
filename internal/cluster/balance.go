package cluster

import (
	"cmp"
	"slices"

	"github.com/flawless-engine/flawless/internal/store"
)

// Owners has the name of the owner of each shard, by its number; "" is nobody.
type Owners [store.Shards]string

// Of returns the shards of a node, in order.
func (o *Owners) Of(node string) (shards []store.Shard) {
	for sh, owner := range o {
		if owner == node {
			shards = append(shards, store.Shard(sh))
		}
	}
	return shards
}

// Move is a shard that goes from one owner to another; From is "" if nobody owns it.
type Move struct {
	Shard    store.Shard
	From, To string
}

// Moves returns what has to move from one assignment to another, in the order of the shards.
func Moves(from, to Owners) (moves []Move) {
	for sh := range from {
		if from[sh] != to[sh] {
			moves = append(moves, Move{store.Shard(sh), from[sh], to[sh]})
		}
	}
	return moves
}

// Balance returns who should own each shard, given who owns them now and which nodes are alive. The numbers of shards of
// any two nodes differ by one at most, and no other assignment like that needs fewer moves. The order of the nodes does
// not matter. Without nodes, nobody owns anything.
func Balance(now Owners, nodes []string) (next Owners) {
	nodes = slices.Compact(slices.Sorted(slices.Values(nodes)))
	nodes = slices.DeleteFunc(nodes, func(n string) bool { return n == "" })
	if len(nodes) == 0 {
		return next
	}
	count := map[string]int{}
	for _, owner := range now {
		count[owner]++
	}
	// The nodes that have the most keep one more than the others, where the number of shards cannot be divided.
	slices.SortStableFunc(nodes, func(a, b string) int { return cmp.Compare(count[b], count[a]) })
	quota := map[string]int{}
	for i, n := range nodes {
		if quota[n] = len(now) / len(nodes); i < len(now)%len(nodes) {
			quota[n]++
		}
	}
	var free []int
	for sh, owner := range now {
		if quota[owner] > 0 {
			quota[owner]--
			next[sh] = owner
		} else {
			free = append(free, sh)
		}
	}
	for _, sh := range free {
		for quota[nodes[0]] == 0 {
			nodes = nodes[1:]
		}
		next[sh] = nodes[0]
		quota[nodes[0]]--
	}
	return next
}

// CapsOwner returns who should own store.ShardOfCaps: its owner while that node is alive, else the node with the fewest
// shards, or "" without nodes.
func CapsOwner(now string, owners Owners, nodes []string) (next string) {
	fewest := len(owners) + 1
	for _, n := range slices.Sorted(slices.Values(nodes)) {
		switch has := len(owners.Of(n)); {
		case n == "":
		case n == now:
			return now
		case has < fewest:
			next, fewest = n, has
		}
	}
	return next
}
