package statelock

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/flawless-engine/flawless/internal/effect"
)

// A run is stuck when it waits and nothing can ever answer it: all its open calls wait for states or
// for ends of runs, each of these depends on a run that is stuck as well, and nothing of all that is
// due. A run goes on when any of its calls is answered, so one call that somebody outside may answer is
// enough: http, a timer, a message, a promise, a deadline, a person's decision. A paused or unresolved
// run is not stuck either, nor is one out of memory that has begun: it has no errand open.
//
// So a run is not stuck if a run that is not can be reached from it, along the waits. Being stuck does
// not pass by itself. It begins when the last of the runs comes to rest, and so each run that does so
// looks from itself.

// Edge is a run that waits for another one: with a call, or with call 0 to begin.
type Edge struct {
	From, To string
	Call     int
	Kind     string // of the call
	Wanted   Target
	Permit   string // with call 0: what it needs, in words
	At       int64  // of the turn that made the call
	N        uint64 // waits before it
}

// Resting is a run that waits for others alone.
type Resting struct {
	Edges []Edge
	Seq   uint64 // writes of it that were begun: nothing has happened to it while that is the same
}

// Detector finds runs that wait for each other, and has one of them told.
type Detector struct {
	Graph *Graph
	// Look returns what a run waits for, or false where it may go on by itself.
	Look func(run string) (Resting, bool)
	// Tell answers the call of the first edge with an error. It returns false where that cannot be.
	Tell func(first Edge, why string) bool

	judging sync.Mutex // held by whoever breaks a deadlock, or two runs of a circle would be told
}

// Check is called when a run has come to rest. Where it is stuck, the newest call in the circle is answered with an
// error that names the circle.
func (d *Detector) Check(run string) {
	first := d.Graph.first(run)
	if first == "" && !d.Graph.IsAwaited(run) {
		return
	}
	if first != "" { // mostly that one goes on, however many others there are
		if _, rests := d.Look(first); !rests {
			return
		}
	}
	d.judging.Lock()
	defer d.judging.Unlock()
	for {
		found := stuck(run, d.Look)
		// One look at each is not enough: the first may have been answered before the last was looked at.
		if found == nil || !sameRest(found, stuck(run, d.Look)) {
			return // whoever has gone on looks from itself when it rests again
		}
		path := circle(found)
		if path == nil || !d.Tell(path[0], inWords(path)) {
			return
		}
	}
}

// stuck returns the runs that can be reached from a run along the waits, nil where one of them goes on.
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

// circle returns a circle among stuck runs, which begins with the newest call that is part of one. Of
// the calls of one moment it is rather one that only waits than one that has started a run, too.
func circle(stuck map[string]Resting) (path []Edge) {
	var newest *Edge
	newer := func(a, b Edge) int {
		waits := func(x Edge) int {
			if x.Kind == effect.Spawn {
				return 0
			}
			return 1
		}
		return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(waits(a), waits(b)), cmp.Compare(a.N, b.N))
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

// way returns the shortest way from a run to another one, nil where there is none. It is empty to the run itself.
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

// inWords tells who waits for whom.
func inWords(path []Edge) string {
	var all []string
	for _, x := range path {
		switch {
		case x.Call == 0:
			all = append(all, fmt.Sprintf("run %s waits to begin until there is %s, which run %s has", x.From, x.Permit, x.To))
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
