package statelock

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/flawless-engine/flawless"
)

// Graph records which run holds which state, and which calls wait for a state or for the end of a run. It is a cache
// of states and open errands, rebuilt with them after a restart. The zero value is empty. It may be used concurrently
// and takes no other lock.
//
// Of states that other servers own it does not know the holders. It has the calls of runs of this server that lock such a
// state, from the time they ask for it until the hold ends.
type Graph struct {
	anyAway atomic.Bool // away has something; changed under mu

	mu      sync.Mutex
	holder  map[string]flawless.Claim      // state → call of a run
	held    map[string][]string            // run → states
	away    map[string]map[lockedAway]bool // run → states of other servers
	waits   map[string]map[int]wait        // run → call
	awaited map[string]int                 // run → number of calls that wait for its end
	made    uint64                         // number of waits so far
}

// lockedAway is a call that locks a state of another server.
type lockedAway struct {
	state string
	call  int
}

// Target is what a call waits for or reaches: a state, or a run; a call that waits for a run waits for its end.
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
		g.holder, g.held = map[string]flawless.Claim{}, map[string][]string{}
	}
	if was, ok := g.holder[name]; ok {
		if i := slices.Index(g.held[was.Run], name); i >= 0 {
			g.held[was.Run] = slices.Delete(g.held[was.Run], i, i+1)
		}
		if len(g.held[was.Run]) == 0 {
			delete(g.held, was.Run)
		}
		delete(g.holder, name)
	}
	if by != nil {
		g.holder[name] = *by
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

// LockAway records that a call locks a state of another server.
func (g *Graph) LockAway(run, state string, call int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.away == nil {
		g.away = map[string]map[lockedAway]bool{}
	}
	if g.away[run] == nil {
		g.away[run] = map[lockedAway]bool{}
	}
	g.away[run][lockedAway{state, call}] = true
	g.anyAway.Store(true)
}

// AnyAway reports whether any run locks a state of another server. It is cheap.
func (g *Graph) AnyAway() bool { return g.anyAway.Load() }

// UnlockAway records that the hold of a call has ended, or its wait.
func (g *Graph) UnlockAway(run, state string, call int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if delete(g.away[run], lockedAway{state, call}); len(g.away[run]) == 0 {
		delete(g.away, run)
	}
	g.anyAway.Store(len(g.away) > 0)
}

// LocksAway reports whether a call locks a state of another server.
func (g *Graph) LocksAway(run, state string, call int) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.away[run][lockedAway{state, call}]
}

// endAway forgets which states of other servers a run has locked.
func (g *Graph) endAway(run string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.away, run)
	g.anyAway.Store(len(g.away) > 0)
}

// forgetAway is endAway for runs that another server continues.
func (g *Graph) forgetAway(gone func(run string) bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	maps.DeleteFunc(g.away, func(run string, _ map[lockedAway]bool) bool { return gone(run) })
	g.anyAway.Store(len(g.away) > 0)
}

// crossing returns those runs for which here is true and of which a call waits for something that depends on a run for
// which it is not, or on a run that is not known here.
func (g *Graph) crossing(here func(run string) bool) (runs []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for run := range g.waits {
		if here(run) && g.crosses(run, here) {
			runs = append(runs, run)
		}
	}
	return runs
}

// crossesFrom reports whether a run is among those of crossing.
func (g *Graph) crossesFrom(run string, here func(run string) bool) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.crosses(run, here)
}

func (g *Graph) crosses(run string, here func(run string) bool) bool {
	for _, w := range g.waits[run] {
		if to := g.whose(w.Target); to == "" || !here(to) {
			return true
		}
	}
	return false
}

// StatesOf returns the states that a run holds or waits for.
func (g *Graph) StatesOf(run string) []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	all := slices.Clone(g.held[run])
	for l := range g.away[run] {
		all = append(all, l.state)
	}
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
		return g.holder[t.State].Run
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
// outside of the graph, which will answer it. An edge leads to "" if nobody is known to hold the state: it is free now, or
// of another server.
func (g *Graph) Edges(run string, calls []Call) ([]Edge, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := make([]Edge, 0, len(calls))
	for _, c := range calls {
		w, ok := g.waits[run][c.N]
		if !ok || w.State != "" && g.holder[w.State] == (flawless.Claim{Run: run, Call: c.N}) { // it is about to be told
			return nil, false
		}
		out = append(out, Edge{From: run, Call: c.N, Kind: c.Kind, To: g.whose(w.Target), Wanted: w.Target, At: c.MadeAt, N: w.n})
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
	return len(g.holder) + len(g.held) + len(g.away) + waits + len(g.awaited)
}
