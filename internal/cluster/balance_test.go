package cluster

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/flawless-engine/flawless/internal/store"
)

// fewestMoves returns the least number of moves to a balanced assignment, by trying every way to give the extra shards
// to nodes.
func fewestMoves(now Owners, nodes []string) int {
	fewest := len(now) + 1
	least, extra := len(now)/len(nodes), len(now)%len(nodes)
	for mask := range 1 << len(nodes) {
		kept, more := 0, 0
		for i, n := range nodes {
			quota := least
			if mask>>i&1 == 1 {
				quota++
				more++
			}
			kept += min(quota, len(now.Of(n)))
		}
		if more == extra {
			fewest = min(fewest, len(now)-kept)
		}
	}
	return fewest
}

func TestBalanceIsFairWithFewestMoves(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		known := []string{"a", "b", "c", "d", "e", "f", "g"}
		nodes := rapid.SliceOfNDistinct(rapid.SampledFrom(known), 1, 6, rapid.ID).Draw(rt, "living")
		owners := append([]string{"", "dead"}, rapid.SliceOfN(rapid.SampledFrom(known), 1, 7).Draw(rt, "owners")...)
		var now Owners
		for at := 0; at < len(now); { // in runs of one owner, so that some have much and others little
			owner := rapid.SampledFrom(owners).Draw(rt, "owner")
			for n := rapid.IntRange(1, 100).Draw(rt, "shards"); n > 0 && at < len(now); n-- {
				now[at] = owner
				at++
			}
		}
		next := Balance(now, nodes)
		total := 0
		for _, n := range nodes {
			has := len(next.Of(n))
			if total += has; has != len(now)/len(nodes) && has != len(now)/len(nodes)+1 {
				rt.Errorf("node %s has %d of %d shards, and there are %d nodes", n, has, len(now), len(nodes))
			}
		}
		if total != len(now) {
			rt.Errorf("%d of %d shards belong to living nodes", total, len(now))
		}
		if got, want := len(Moves(now, next)), fewestMoves(now, nodes); got != want {
			rt.Errorf("it takes %d moves, but %d are enough", got, want)
		}
		for _, m := range Moves(now, next) {
			if now[m.Shard] != m.From || next[m.Shard] != m.To || m.From == m.To {
				rt.Errorf("move %+v", m)
			}
		}
		slices.Reverse(nodes)
		if Balance(now, append(nodes, nodes[0], "")) != next {
			rt.Error("another order of the same nodes gives another result")
		}
		if Balance(next, nodes) != next {
			rt.Error("a balanced assignment is changed")
		}
	})
}

func TestNodesComeAndGo(t *testing.T) {
	t.Parallel()
	var now Owners
	moves := 0
	for n := 1; n <= 8; n++ {
		var nodes []string
		for i := range n {
			nodes = append(nodes, fmt.Sprint("node-", i))
		}
		next := Balance(now, nodes)
		moves = len(Moves(now, next))
		if n > 1 && moves != store.Shards/n {
			t.Errorf("node %d takes over %d shards, want %d", n, moves, store.Shards/n)
		}
		now = next
	}
	gone := Balance(now, []string{"node-0", "node-1", "node-2", "node-3", "node-4", "node-5", "node-6"})
	if n := len(Moves(now, gone)); n != 32 {
		t.Errorf("when one of 8 nodes is gone, %d shards move, want its 32", n)
	}
	if none := Balance(now, nil); none != (Owners{}) {
		t.Errorf("without nodes, somebody owns shards: %v", none)
	}
	if n := len(Moves(now, Owners{})); n != store.Shards {
		t.Errorf("%d shards move to nobody", n)
	}
}

func TestCapsStayWithTheirOwner(t *testing.T) {
	t.Parallel()
	owners := Balance(Owners{}, []string{"a", "b", "c"})
	for _, row := range []struct {
		now, want string
		nodes     []string
	}{
		{"b", "b", []string{"c", "b", "a"}},
		{"dead", "b", []string{"c", "b", "a"}}, // a has one shard more
		{"", "d", []string{"a", "d", "b"}},
		{"a", "", nil},
		{"", "a", []string{"", "a"}},
	} {
		if got := CapsOwner(row.now, owners, row.nodes); got != row.want {
			t.Errorf("of %q with the nodes %v, the next owner is %q, want %q", row.now, row.nodes, got, row.want)
		}
	}
}
