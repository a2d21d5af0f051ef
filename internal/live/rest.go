package live

import (
	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/statelock"
)

// Resting returns what a run waits for, or false if it may continue by itself. A run that is not in memory waits for the
// outside, or to begin. See [statelock.Graph.Edges] for states whose holder is not known.
func (g *Registry) Resting(id string) (statelock.Resting, bool) {
	g.mu.Lock()
	r := g.runs[id]
	g.mu.Unlock()
	if r == nil {
		return g.restingQueued(id)
	}
	select {
	case <-r.loaded:
	default:
		return statelock.Resting{}, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	calls, rests := r.waitsOnly()
	if !rests {
		return statelock.Resting{}, false
	}
	if r.s.Turns() == 0 {
		edges := g.ahead(id)
		return statelock.Resting{Edges: edges, Seq: r.begun}, len(edges) > 0
	}
	edges, known := g.o.Graph.Edges(id, calls)
	return statelock.Resting{Edges: edges, Seq: r.begun}, known && len(edges) > 0
}

// ahead returns what keeps a run from beginning: the runs that were admitted before it.
func (g *Registry) ahead(id string) (out []statelock.Edge) {
	runs, admitter := g.o.Admission.Blockers(id)
	for _, run := range runs {
		out = append(out, statelock.Edge{From: id, To: run, Admitter: admitter})
	}
	return out
}

// restingQueued is Resting for a run that is not in memory.
func (g *Registry) restingQueued(id string) (statelock.Resting, bool) {
	edges := g.ahead(id)
	if len(edges) == 0 {
		return statelock.Resting{}, false
	}
	h, err := g.o.Store.Head(g.o.Lifecycle.Calls, id)
	if err != nil || h.Run.Status != flawless.Pending || h.Run.Deadline != nil || h.Run.CancelRequested {
		return statelock.Resting{}, false
	}
	return statelock.Resting{Edges: edges}, true
}

// waitsOnly returns the open calls of a run, if it can do nothing until one of them is answered, and all that it has done
// is durable. The caller holds mu.
func (r *Run) waitsOnly() (calls []statelock.Call, rests bool) {
	switch {
	case r.gone, r.loadErr != nil, r.problem != "", r.failed != nil,
		r.driving, r.writing, r.stop != nil, len(r.outbox) > 0,
		r.carrying, r.unlock, len(r.todo) > 0:
		return nil, false
	}
	open, rests := r.s.WaitsForOthers()
	for _, c := range open {
		calls = append(calls, statelock.Call{N: c.N, Kind: c.Kind, MadeAt: c.MadeAt()})
	}
	return calls, rests
}
