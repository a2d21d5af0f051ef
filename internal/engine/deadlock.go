package engine

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/flawless-engine/flawless"
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

// edge is a run that waits for another one: with a call, or with call 0 to begin.
type edge struct {
	from, to string
	call     int
	kind     string // of the call
	wanted   target
	gate     string // with call 0: what it needs, in words
	at       int64  // of the turn that made the call
	n        uint64 // waits before it
}

// resting is a run that waits for others alone.
type resting struct {
	edges []edge
	seq   uint64 // writes of it that were begun: nothing has happened to it while that is the same
}

// look returns what a run waits for, or false where it may go on by itself.
func (e *Engine) look(id string) (resting, bool) {
	e.mu.Lock()
	r := e.runs[id]
	e.mu.Unlock()
	if r == nil {
		return e.lookQueued(id)
	}
	select {
	case <-r.loaded:
	default:
		return resting{}, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	calls, rests := r.waitsOnly()
	if !rests {
		return resting{}, false
	}
	if r.s.turn == 0 {
		edges := e.gates.ahead(id)
		return resting{edges, r.taken}, len(edges) > 0
	}
	edges, known := e.graph.edges(id, calls)
	return resting{edges, r.taken}, known && len(edges) > 0
}

// lookQueued is look for a run that is not in memory: it waits for the outside, or to begin.
func (e *Engine) lookQueued(id string) (resting, bool) {
	edges := e.gates.ahead(id)
	if len(edges) == 0 {
		return resting{}, false
	}
	h, err := e.store.Head(e.performCtx, id)
	if err != nil || h.Run.Status != flawless.Pending || h.Run.Deadline != nil || h.Run.CancelRequested {
		return resting{}, false
	}
	return resting{edges: edges}, true
}

// waitsOnly returns the open calls of a run, where it can do nothing until one of them is answered, and
// all that it has done is durable. The caller holds mu.
func (r *run) waitsOnly() (calls []*call, rests bool) {
	switch {
	case r.gone, r.loadErr != nil, r.problem != "", r.failed != nil,
		r.driving, r.writing, r.stop != nil, len(r.outbox) > 0,
		r.carrying, r.parts, len(r.errands) > 0:
		return nil, false
	}
	return r.s.waitsForOthers()
}

// breakDeadlock is called when a run has come to rest. Where it is stuck, the newest call in the circle
// is answered with an error that names the circle.
func (e *Engine) breakDeadlock(id string) {
	first := e.graph.one(id)
	if first == "" && !e.graph.isAwaited(id) || e.dead.Load() {
		return
	}
	if first != "" { // mostly that one goes on, however many others there are
		if _, rests := e.look(first); !rests {
			return
		}
	}
	e.judging.Lock() // or two runs of a circle would be told
	defer e.judging.Unlock()
	for {
		found := stuck(id, e.look)
		// One look at each is not enough: the first may have been answered before the last was looked at.
		if found == nil || !sameRest(found, stuck(id, e.look)) {
			return // whoever has gone on looks from itself when it rests again
		}
		path := circle(found)
		if path == nil || !e.tellDeadlock(path) {
			return
		}
	}
}

// stuck returns the runs that can be reached from a run along the waits, nil where one of them goes on.
func stuck(id string, look func(string) (resting, bool)) map[string]resting {
	found := map[string]resting{}
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
		for _, x := range r.edges {
			todo = append(todo, x.to)
		}
	}
	return found
}

func sameRest(a, b map[string]resting) bool {
	if len(a) != len(b) {
		return false
	}
	for id, r := range a {
		if again, ok := b[id]; !ok || r.seq != again.seq || !slices.Equal(r.edges, again.edges) {
			return false
		}
	}
	return true
}

// circle returns a circle among stuck runs, which begins with the newest call that is part of one. Of
// the calls of one moment it is rather one that only waits than one that has started a run, too.
func circle(stuck map[string]resting) (path []edge) {
	var newest *edge
	newer := func(a, b edge) int {
		waits := func(x edge) int {
			if x.kind == effect.Spawn {
				return 0
			}
			return 1
		}
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(waits(a), waits(b)), cmp.Compare(a.n, b.n))
	}
	for _, r := range stuck {
		for _, x := range r.edges {
			if x.call == 0 || newest != nil && newer(x, *newest) < 0 {
				continue
			}
			if back := way(stuck, x.to, x.from); back != nil {
				newest, path = &x, append([]edge{x}, back...)
			}
		}
	}
	return path
}

// way returns the shortest way from a run to another one, nil where there is none. It is empty to the run itself.
func way(stuck map[string]resting, from, to string) []edge {
	if from == to {
		return []edge{}
	}
	came := map[string]edge{}
	for todo := []string{from}; len(todo) > 0; todo = todo[1:] {
		for _, x := range stuck[todo[0]].edges {
			if _, seen := came[x.to]; seen {
				continue
			}
			came[x.to] = x
			if x.to != to {
				todo = append(todo, x.to)
				continue
			}
			path := []edge{x}
			for at := x.from; at != from; at = path[0].from {
				path = slices.Insert(path, 0, came[at])
			}
			return path
		}
	}
	return nil
}

// inWords tells who waits for whom.
func inWords(path []edge) string {
	var all []string
	for _, x := range path {
		switch {
		case x.call == 0:
			all = append(all, fmt.Sprintf("run %s waits to begin until there is %s, which run %s has", x.from, x.gate, x.to))
		case x.wanted.state != "":
			all = append(all, fmt.Sprintf("run %s waits for state %q, which run %s holds", x.from, x.wanted.state, x.to))
		case x.from == x.to:
			all = append(all, fmt.Sprintf("run %s waits for its own end", x.from))
		default:
			all = append(all, fmt.Sprintf("run %s waits for the end of run %s", x.from, x.to))
		}
	}
	return "this would never end: " + strings.Join(all, "; ")
}

// tellDeadlock answers the first call of a circle. It returns false where that cannot be.
func (e *Engine) tellDeadlock(path []edge) bool {
	x := path[0]
	e.mu.Lock()
	r := e.runs[x.from] // it stays: its call is open
	e.mu.Unlock()
	if r == nil {
		return false
	}
	answer := effect.ErrorAnswer(x.call, "deadlock", inWords(path))
	if x.wanted.state == "" {
		told := e.answer(r, x.call, answer)
		e.ends.remove(x.wanted.run, r, x.call)
		return told
	}
	c, err := e.shared.use(e, x.wanted.state)
	if err != nil {
		return false
	}
	defer e.shared.done(c)
	told := e.answer(r, x.call, answer)
	if i := slices.IndexFunc(c.queue, func(w wish) bool { return w.run == r && w.call == x.call }); i >= 0 {
		w := c.queue[i]
		c.queue = slices.Delete(c.queue, i, i+1)
		e.leave(c, w)
	}
	return told
}
