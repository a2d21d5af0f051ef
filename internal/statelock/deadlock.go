package statelock

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/flawless-engine/flawless/internal/effect"
)

// A run is stuck if nothing can ever answer it: all its open calls wait for states or for the end of runs, each of
// these depends on another stuck run, and no timer is due. One call that can be answered from outside is enough to
// continue: an http call, a timer, a message, a promise, a deadline, or a decision. A paused or unresolved run is not
// stuck, and neither is one that has begun and is not in memory: it has no open errand.
//
// So a run is stuck unless the waits lead from it to a run that is not stuck. Being stuck does not end by itself. It
// begins when the last of the runs comes to rest, so each run that comes to rest starts a check.

// Edge is a run that waits for another one: with a call, or to begin if Call is 0.
type Edge struct {
	From, To string
	Call     int
	Kind     string // of the call
	Wanted   Target
	Admitter string // if Call is 0: what must admit it, its module or its key, in words
	At       int64  // time of the turn that made the call
	N        uint64 // number of earlier waits
}

// Resting is a run that only waits for other runs.
type Resting struct {
	Edges []Edge
	Seq   uint64 // number of its writes: as long as this is unchanged, nothing has happened to the run
}

// Detector finds runs that wait for each other, and breaks the deadlock.
type Detector struct {
	Graph *Graph
	// Look returns what a run waits for, or false if it may continue by itself.
	Look func(run string) (Resting, bool)
	// Fail answers the call of the first edge with an error. It returns false if it cannot.
	Fail func(first Edge, why string) bool

	judging sync.Mutex // held while a deadlock is broken, so that only one run of a cycle gets the error
}

// Check is called when a run has come to rest. If the run is stuck, Check answers the newest call of the cycle with an
// error that names the cycle.
func (d *Detector) Check(run string) {
	first := d.Graph.first(run)
	if first == "" && !d.Graph.IsAwaited(run) {
		return
	}
	if first != "" { // usually that run can continue, however many others there are
		if _, rests := d.Look(first); !rests {
			return
		}
	}
	d.breakAll(run)
}

// breakAll breaks the cycles that a run is stuck in.
func (d *Detector) breakAll(run string) {
	d.judging.Lock()
	defer d.judging.Unlock()
	for {
		found := stuck(run, d.Look)
		// Looking at each run once is not enough: the first one may have been answered before the last one was
		// checked.
		if found == nil || !sameRest(found, stuck(run, d.Look)) {
			return // a run that continued starts a new check when it rests again
		}
		path := circle(found)
		if path == nil || !d.Fail(path[0], inWords(path)) {
			return
		}
	}
}

// stuck returns the runs that the waits lead to from a run, or nil if one of them can continue.
func stuck(id string, look func(string) (Resting, bool)) map[string]Resting {
	found := map[string]Resting{}
	for todo := []string{id}; len(todo) > 0; {
		id, todo = todo[len(todo)-1], todo[:len(todo)-1]
		if _, seen := found[id]; seen {
			continue
		}
		r, rests := look(id)
		if !rests {
			return nil
		}
		found[id] = r
		for _, x := range r.Edges {
			todo = append(todo, x.To)
		}
	}
	return found
}

func sameRest(a, b map[string]Resting) bool {
	if len(a) != len(b) {
		return false
	}
	for id, r := range a {
		if again, ok := b[id]; !ok || r.Seq != again.Seq || !slices.Equal(r.Edges, again.Edges) {
			return false
		}
	}
	return true
}

// circle returns a cycle of stuck runs. It starts with the newest call in the cycle; of calls made at the same time,
// one that only waits comes before one that also started a run.
func circle(stuck map[string]Resting) (path []Edge) {
	var newest *Edge
	newer := func(a, b Edge) int {
		waits := func(x Edge) int {
			if x.Kind == effect.Spawn {
				return 0
			}
			return 1
		}
		return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(waits(a), waits(b)), cmp.Compare(a.N, b.N),
			cmp.Compare(a.From, b.From), cmp.Compare(a.Call, b.Call)) // servers count their waits by themselves, and all must choose the same one
	}
	for _, r := range stuck {
		for _, x := range r.Edges {
			if x.Call == 0 || newest != nil && newer(x, *newest) < 0 {
				continue
			}
			if back := way(stuck, x.To, x.From); back != nil {
				newest, path = &x, append([]Edge{x}, back...)
			}
		}
	}
	return path
}

// way returns the shortest path from one run to another, or nil. The path from a run to itself is empty.
func way(stuck map[string]Resting, from, to string) []Edge {
	if from == to {
		return []Edge{}
	}
	came := map[string]Edge{}
	for todo := []string{from}; len(todo) > 0; todo = todo[1:] {
		for _, x := range stuck[todo[0]].Edges {
			if _, seen := came[x.To]; seen {
				continue
			}
			came[x.To] = x
			if x.To != to {
				todo = append(todo, x.To)
				continue
			}
			path := []Edge{x}
			for at := x.From; at != from; at = path[0].From {
				path = slices.Insert(path, 0, came[at])
			}
			return path
		}
	}
	return nil
}

// inWords describes who waits for whom.
func inWords(path []Edge) string {
	var all []string
	for _, x := range path {
		switch {
		case x.Call == 0:
			all = append(all, fmt.Sprintf("run %s waits to be admitted by %s, whose limit run %s uses up", x.From, x.Admitter, x.To))
		case x.Wanted.State != "":
			all = append(all, fmt.Sprintf("run %s waits for state %q, which run %s holds", x.From, x.Wanted.State, x.To))
		case x.From == x.To:
			all = append(all, fmt.Sprintf("run %s waits for its own end", x.From))
		default:
			all = append(all, fmt.Sprintf("run %s waits for the end of run %s", x.From, x.To))
		}
	}
	return "this would never end: " + strings.Join(all, "; ")
}
