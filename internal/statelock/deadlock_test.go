package statelock

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/flawless-engine/flawless/internal/effect"
)

// TestDeadlockDetection compares the detector with the definition, over all sets of runs: a run is stuck if it is in a
// set of resting runs that wait only for each other.
func TestDeadlockDetection(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 2))
	const runs = 6
	name := func(k int) string { return string(rune('a' + k)) }
	found := 0
	for range 20_000 {
		all := map[string]Resting{}
		waits := [runs]int{} // bit sets
		rest := 0
		n := uint64(0)
		for k := range runs {
			if rnd.IntN(10) < 3 {
				continue
			}
			var r Resting
			for to := range runs {
				if rnd.IntN(3*runs) > 5 {
					continue
				}
				n++
				kind := []string{effect.State, effect.Spawn, effect.Await}[rnd.IntN(3)]
				r.Edges = append(r.Edges, Edge{From: name(k), To: name(to), Call: to + 2, Kind: kind, At: rnd.Int64N(3), N: n})
				waits[k] |= 1 << to
			}
			if len(r.Edges) > 0 {
				all[name(k)] = r
				rest |= 1 << k
			}
		}
		never := 0
		for set := range 1 << runs {
			closed := set&^rest == 0
			for k := range runs {
				closed = closed && (set>>k&1 == 0 || waits[k]&^set == 0)
			}
			if closed {
				never |= set
			}
		}
		for k := range runs {
			got := stuck(name(k), func(id string) (Resting, bool) { r, ok := all[id]; return r, ok })
			if (got != nil) != (never>>k&1 == 1) {
				t.Fatalf("run %s is stuck: %v, of %+v", name(k), got != nil, all)
			}
			if got == nil {
				continue
			}
			found++
			path := circle(got)
			if path == nil {
				t.Fatalf("no circle from run %s in %+v", name(k), all)
			}
			for i, x := range path {
				if next := path[(i+1)%len(path)]; x.To != next.From {
					t.Fatalf("this is no circle: %+v", path)
				}
				if !slices.Contains(all[x.From].Edges, x) {
					t.Fatalf("nobody waits so: %+v", x)
				}
			}
		}
	}
	if found < 1000 {
		t.Errorf("only %d were stuck: the test proves little", found)
	}
}
