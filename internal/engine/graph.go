package engine

import (
	"maps"
	"slices"
	"sync"

	"github.com/flawless-engine/flawless"
)

// graph knows who waits for whom: which run holds which state, and which calls wait for a state or for
// the end of a run. It is a cache of states and open errands, and is built again with them after a
// restart. The zero value is empty; it may be used concurrently, and takes no other lock.
type graph struct {
	mu      sync.Mutex
	holder  map[string]string       // by state: a run
	held    map[string][]string     // by run: states
	waits   map[string]map[int]wait // by run and call
	awaited map[string]int          // by run: calls that wait for its end
	made    uint64                  // waits so far
}

// target is what a call waits for: a state, or the end of a run.
type target struct{ state, run string }

// wait is a call that waits.
type wait struct {
	target
	n uint64 // waits before it
}

// holds notes who holds a state; nil is nobody.
func (g *graph) holds(name string, by *flawless.Claim) {
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

// wait notes that a call waits.
func (g *graph) wait(run string, call int, t target) {
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
	if t.run != "" {
		g.awaited[t.run]++
	}
}

// unwait notes that a call does not wait any more.
func (g *graph) unwait(run string, call int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	w, ok := g.waits[run][call]
	if !ok {
		return
	}
	if delete(g.waits[run], call); len(g.waits[run]) == 0 {
		delete(g.waits, run)
	}
	if w.run == "" {
		return
	}
	if g.awaited[w.run]--; g.awaited[w.run] == 0 {
		delete(g.awaited, w.run)
	}
}

// of returns the states that a run holds or waits for.
func (g *graph) of(run string) []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	all := slices.Clone(g.held[run])
	for _, w := range g.waits[run] {
		if w.state != "" {
			all = append(all, w.state)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// one returns the run that one of a run's calls waits for, "" where there is none.
func (g *graph) one(run string) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, w := range g.waits[run] {
		return g.whose(w.target)
	}
	return ""
}

// whose is the run that a target depends on, "" where nobody holds the state. The caller has the lock.
func (g *graph) whose(t target) string {
	if t.state != "" {
		return g.holder[t.state]
	}
	return t.run
}

// isAwaited tells whether a call waits for the end of a run.
func (g *graph) isAwaited(run string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.awaited[run] > 0
}

// edges returns what calls of a run wait for, in their order. It returns false where one of them waits
// for nothing that the graph knows: it will be answered.
func (g *graph) edges(run string, calls []*call) ([]edge, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := make([]edge, 0, len(calls))
	for _, c := range calls {
		w, ok := g.waits[run][c.N]
		if !ok {
			return nil, false
		}
		to := g.whose(w.target)
		if to == "" {
			return nil, false
		}
		out = append(out, edge{from: run, call: c.N, kind: c.Kind, to: to, wanted: w.target, at: c.madeAt, n: w.n})
	}
	slices.SortFunc(out, func(a, b edge) int { return a.call - b.call })
	return out, true
}

// size counts what the graph knows, for tests.
func (g *graph) size() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	waits := 0
	for w := range maps.Values(g.waits) {
		waits += len(w)
	}
	return len(g.holder) + len(g.held) + waits + len(g.awaited)
}
