package cluster

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
)

// TestShardsAreDividedEvenly lets nodes come, drain and crash, and carry out their plans in a random order.
func TestShardsAreDividedEvenly(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 2))
		owners := make([]string, store.Shards+1)
		var nodes []flawless.Node
		for step := range 12 {
			switch k := random.IntN(4); {
			case k == 0 && len(nodes) > 1: // it crashes
				i := random.IntN(len(nodes))
				nodes = append(nodes[:i:i], nodes[i+1:]...)
			case k == 1 && len(nodes) > 0:
				nodes[random.IntN(len(nodes))].Draining = true
			default:
				nodes = append(nodes, flawless.Node{ID: fmt.Sprintf("%02d-%d", random.IntN(99), step)})
			}
			settle(t, seed, random, nodes, owners)
		}
	}
}

func settle(t *testing.T, seed uint64, random *rand.Rand, nodes []flawless.Node, owners []string) {
	t.Helper()
	before := append([]string(nil), owners...)
	alive, takers := map[string]bool{}, 0
	for _, n := range nodes {
		alive[n.ID] = true
		if !n.Draining {
			takers++
		}
	}
	moved := 0
	for round := 0; ; round++ {
		quiet := true
		for _, i := range random.Perm(len(nodes)) {
			self := nodes[i].ID
			giveUp, claim := plan(self, nodes, owners)
			for _, sh := range giveUp {
				if owners[sh] != self {
					t.Fatalf("seed %d: %s gives up shard %d of %q", seed, self, sh, owners[sh])
				}
				owners[sh] = ""
				moved++
			}
			for _, sh := range claim {
				if alive[owners[sh]] {
					t.Fatalf("seed %d: %s claims shard %d of %s, which lives", seed, self, sh, owners[sh])
				}
				owners[sh] = self
			}
			quiet = quiet && len(giveUp)+len(claim) == 0
		}
		if quiet {
			break
		}
		if round > 10 {
			t.Fatalf("seed %d: the nodes move shards for ever", seed)
		}
	}
	if takers == 0 {
		return
	}
	has, had := map[string]int{}, map[string]int{}
	for sh, owner := range owners {
		has[owner]++
		had[before[sh]]++
	}
	must := 0 // at least so many have to leave a living node
	for _, n := range nodes {
		least, most := len(owners)/takers, (len(owners)+takers-1)/takers
		if n.Draining {
			least, most = 0, 0
		}
		if has[n.ID] < least || has[n.ID] > most {
			t.Fatalf("seed %d: of %d nodes, %s has %d shards, want %d to %d", seed, takers, n.ID, has[n.ID], least, most)
		}
		must += max(0, had[n.ID]-most)
	}
	if moved > must+takers {
		t.Fatalf("seed %d: %d shards moved between living nodes, where %d would do", seed, moved, must)
	}
}
