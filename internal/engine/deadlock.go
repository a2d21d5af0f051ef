package engine

import (
	"slices"
	"time"

	"github.com/flawless-engine/flawless/internal/clock"
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/statelock"
	"github.com/flawless-engine/flawless/internal/store"
)

// breakDeadlock looks whether a run that has come to rest is part of a deadlock, and breaks it.
func (e *Engine) breakDeadlock(run string) {
	if e.life.Over() {
		return
	}
	e.deadlocks.Check(run)
	if e.hasPeers() {
		e.crossing.Add(run)
	}
}

// isHere reports whether the engine owns a run.
func (e *Engine) isHere(run string) bool { return e.runs.Owns(run) == nil }

// parked is called when a run waits for its concurrency key: others, who may wait for it, keep it back from now on.
func (e *Engine) parked(run string) {
	if e.graph.IsAwaited(run) {
		e.tasks.Go(func() { e.breakDeadlock(run) })
	}
}

// tellDeadlock answers the first call of a cycle with an error. It returns false if that is impossible.
func (e *Engine) tellDeadlock(x statelock.Edge, why string) bool {
	r, err := e.runs.Acquire(e.life.Calls, x.From)
	if err != nil {
		return false
	}
	defer r.Release()
	tell := func() bool { return r.Answer(x.Call, effect.ErrorAnswer(x.Call, "deadlock", why)) }
	name := x.Wanted.State
	switch {
	case name != "" && e.ownsState(name) == nil:
		return e.locks.Withdraw(name, r, x.Call, tell)
	case !tell():
		return false
	case name != "":
		e.states.Withdraw(r, name, x.Call)
	default:
		e.errands.Stop(x.From, x.Call)
		e.ends.Remove(x.Wanted.Run, r, x.Call)
	}
	return true
}

// watchPeers looks for deadlocks over several engines, and for states whose holders have gone elsewhere, until the engine
// stops.
func (e *Engine) watchPeers() {
	tick := time.NewTicker(clock.Soon)
	defer tick.Stop()
	for {
		select {
		case <-e.life.Turns.Done():
			return
		case <-tick.C:
			e.states.CheckHolders(e.life.Turns)
			e.crossing.CheckAll(e.life.Turns)
		case <-e.crossing.Added():
			e.crossing.Check(e.life.Turns)
		}
	}
}

// restsHere is what the detector of deadlocks within this engine sees: who waits for a state of another engine may continue.
func (e *Engine) restsHere(run string) (statelock.Resting, bool) {
	r, rests := e.runs.Resting(run)
	return r, rests && !slices.ContainsFunc(r.Edges, func(x statelock.Edge) bool { return x.To == "" })
}

// newCrossing connects the search for deadlocks over several engines with the engine.
func (e *Engine) newCrossing() *statelock.Crossing {
	return statelock.NewCrossing(statelock.CrossingOptions{Graph: &e.graph, Owns: e.runs.Owns, MayTell: e.mayTell, Look: e.runs.Resting, Fail: e.tellDeadlock,
		State: e.store.State, Peers: e.peers, Context: e.life.Turns})
}

// mayTell returns nil if what this engine knows of a run is the truth: it owns the run, and its lease is not over.
func (e *Engine) mayTell(run string) error {
	if err := e.runs.Owns(run); err != nil {
		return err
	}
	if sh := store.ShardOf(run); !e.lease.Owns(sh) {
		return &store.ElsewhereError{Shard: sh}
	}
	return nil
}
