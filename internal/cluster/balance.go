package cluster

import (
	"slices"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
)

// plan says which shards a node gives up, and which it claims, so that all living nodes get the same number of them but for
// one. owners is the owner of each shard. Of the nodes, which are sorted by id, those that drain get none.
//
// All nodes make the same plan from the same rows, and each carries out its own part: a shard moves when its owner has given
// it up. Nodes give up no more than they must: shards move only from those that have too many to those that have too few.
func plan(self string, nodes []flawless.Node, owners []string) (giveUp, claim []store.Shard) {
	var takers []string // that are to have shards
	alive := map[string]bool{}
	for _, n := range nodes {
		alive[n.ID] = true
		if !n.Draining {
			takers = append(takers, n.ID)
		}
	}
	var mine, free []store.Shard
	has := map[string]int{}
	for sh, owner := range owners {
		switch {
		case owner == self:
			mine = append(mine, store.Shard(sh))
		case !alive[owner]:
			free = append(free, store.Shard(sh))
		}
		has[owner]++
	}
	if len(takers) == 0 { // nobody could take them
		return nil, nil
	}
	share := target(self, takers, has, len(owners))
	if len(mine) > share {
		return mine[share:], nil
	}
	// Nodes that lack shards divide the free ones, from different ends, so that two rarely claim the same one.
	lacks := min(share-len(mine), len(free))
	if lacks <= 0 {
		return nil, nil
	}
	from := slices.Index(takers, self) * len(free) / len(takers)
	free = slices.Concat(free[from:], free[:from])
	return nil, free[:lacks]
}

// target returns how many shards a node is to have. If they cannot be divided evenly, those that have most now get one more.
func target(self string, takers []string, has map[string]int, shards int) int {
	if !slices.Contains(takers, self) {
		return 0
	}
	order := slices.Clone(takers)
	slices.SortStableFunc(order, func(a, b string) int { return has[b] - has[a] })
	share := shards / len(takers)
	if slices.Index(order, self) < shards%len(takers) {
		share++
	}
	return share
}
