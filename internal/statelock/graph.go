package statelock

import (
	"maps"
	"slices"
	"sync"

	"github.com/flawless-engine/flawless"
)

// Graph records which run holds which state, and which calls wait for a state or for the end of a run. It is a cache
// of states and open errands, rebuilt with them after a restart. The zero value is empty. It may be used concurrently
// and takes no other lock.
type Graph struct {
	mu      sync.Mutex
	holder  map[string]string       // state → run
	held    map[string][]string     // run → states
	waits   map[string]map[int]wait // run → call
	awaited map[string]int          // run → number of calls that wait for its end
	made    uint64                  // number of waits so far
}

// Target is what a call waits for: a state, or the end of a run.
type Target struct{ State, Run string }

// wait is a call that waits.
type wait struct {
	Target
	n uint64 // number of earlier waits
}

// Holds records the holder of a state; nil is none.
func (g *Graph) Holds(name string, by *flawless.Claim) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.holder == nil {
		g.holder, g.held = map[string]string{}, map[string][]string{}
	}
	if was, ok := g.holder[name]; ok {
		if i := slices.Index(g.held[was], name); i >= 0 {
			g.held[was] = slices.Delete(g.held[was], i, i+1)
		}
		if len(g.held[was]) == 0 {
			delete(g.held, was)
		}
		delete(g.holder, name)
	}
	if by != nil {
		g.holder[name] = by.Run
		g.held[by.Run] = append(g.held[by.Run], name)
	}
}

// Wait records that a call waits.
func (g *Graph) Wait(run string, call int, t Target) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.waits == nil {
		g.waits, g.awaited = map[string]map[int]wait{}, map[string]int{}
	}
	if g.waits[run] == nil {
		g.waits[run] = map[int]wait{}
	}
	g.made++
	g.waits[run][call] = wait{t, g.made}
	if t.Run != "" {
		g.awaited[t.Run]++
	}
}

// Unwait records that a call no longer waits.
func (g *Graph) Unwait(run string, call int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	w, ok := g.waits[run][call]
	if !ok {
		return
	}
	if delete(g.waits[run], call); len(g.waits[run]) == 0 {
		delete(g.waits, run)
	}
	if w.Run == "" {
		return
	}
	if g.awaited[w.Run]--; g.awaited[w.Run] == 0 {
		delete(g.awaited, w.Run)
	}
}

// StatesOf returns the states that a run holds or waits for.
func (g *Graph) StatesOf(run string) []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	all := slices.Clone(g.held[run])
	for _, w := range g.waits[run] {
		if w.State != "" {
			all = append(all, w.State)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// first returns the run that some call of a run waits for, or "".
func (g *Graph) first(run string) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, w := range g.waits[run] {
		return g.whose(w.Target)
	}
	return ""
}

// whose returns the run that a target depends on, or "" if nobody holds the state. The caller holds mu.
func (g *Graph) whose(t Target) string {
	if t.State != "" {
		return g.holder[t.State]
	}
	return t.Run
}

// IsAwaited reports whether a call waits for the end of a run.
func (g *Graph) IsAwaited(run string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.awaited[run] > 0
}

// Call is an open call of a run.
type Call struct {
	N      int
	Kind   string
	MadeAt int64 // time of the turn that made it
}

// Edges returns what the calls of a run wait for, sorted by call. It returns false if one of them waits for something
// outside of the graph, which will answer it.
func (g *Graph) Edges(run string, calls []Call) ([]Edge, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := make([]Edge, 0, len(calls))
	for _, c := range calls {
		w, ok := g.waits[run][c.N]
		if !ok {
			return nil, false
		}
		to := g.whose(w.Target)
		if to == "" {
			return nil, false
		}
		out = append(out, Edge{From: run, Call: c.N, Kind: c.Kind, To: to, Wanted: w.Target, At: c.MadeAt, N: w.n})
	}
	slices.SortFunc(out, func(a, b Edge) int { return a.Call - b.Call })
	return out, true
}

// Size returns the number of entries. It is 0 once nobody holds or waits for anything.
func (g *Graph) Size() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	waits := 0
	for w := range maps.Values(g.waits) {
		waits += len(w)
	}
	return len(g.holder) + len(g.held) + waits + len(g.awaited)
}
