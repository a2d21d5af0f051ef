package engine

import (
	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/statelock"
)

// look returns what a run waits for, or false where it may go on by itself.
func (e *Engine) look(id string) (statelock.Resting, bool) {
	e.mu.Lock()
	r := e.runs[id]
	e.mu.Unlock()
	if r == nil {
		return e.lookQueued(id)
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
		edges := e.ahead(id)
		return statelock.Resting{Edges: edges, Seq: r.taken}, len(edges) > 0
	}
	edges, known := e.graph.Edges(id, calls)
	return statelock.Resting{Edges: edges, Seq: r.taken}, known && len(edges) > 0
}

// ahead returns what keeps a run from beginning: the runs that were admitted before it.
func (e *Engine) ahead(id string) (out []statelock.Edge) {
	runs, what := e.admission.Blockers(id)
	for _, run := range runs {
		out = append(out, statelock.Edge{From: id, To: run, Permit: what})
	}
	return out
}

// lookQueued is look for a run that is not in memory: it waits for the outside, or to begin.
func (e *Engine) lookQueued(id string) (statelock.Resting, bool) {
	edges := e.ahead(id)
	if len(edges) == 0 {
		return statelock.Resting{}, false
	}
	h, err := e.store.Head(e.performCtx, id)
	if err != nil || h.Run.Status != flawless.Pending || h.Run.Deadline != nil || h.Run.CancelRequested {
		return statelock.Resting{}, false
	}
	return statelock.Resting{Edges: edges}, true
}

// waitsOnly returns the open calls of a run, where it can do nothing until one of them is answered, and
// all that it has done is durable. The caller holds mu.
func (r *run) waitsOnly() (calls []statelock.Call, rests bool) {
	switch {
	case r.gone, r.loadErr != nil, r.problem != "", r.failed != nil,
		r.driving, r.writing, r.stop != nil, len(r.outbox) > 0,
		r.carrying, r.parts, len(r.errands) > 0:
		return nil, false
	}
	open, rests := r.s.WaitsForOthers()
	for _, c := range open {
		calls = append(calls, statelock.Call{N: c.N, Kind: c.Kind, MadeAt: c.MadeAt()})
	}
	return calls, rests
}

// breakDeadlock is called when a run has come to rest.
func (e *Engine) breakDeadlock(id string) {
	if !e.dead.Load() {
		e.deadlocks.Check(id)
	}
}

// tellDeadlock answers the first call of a circle. It returns false where that cannot be.
func (e *Engine) tellDeadlock(x statelock.Edge, why string) bool {
	e.mu.Lock()
	r := e.runs[x.From] // it stays: its call is open
	e.mu.Unlock()
	if r == nil {
		return false
	}
	tell := func() bool { return e.answer(r, x.Call, effect.ErrorAnswer(x.Call, "deadlock", why)) }
	if x.Wanted.State != "" {
		return e.locks.Withdraw(x.Wanted.State, r, x.Call, tell)
	}
	told := tell()
	e.ends.remove(x.Wanted.Run, r, x.Call)
	return told
}
