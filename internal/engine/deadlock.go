package engine

import (
	"context"
	"slices"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/clock"
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/rpc"
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

// look returns what a run of this engine waits for, or false if it may continue. The store has the holders of states.
func (e *Engine) look(ctx context.Context, run string) (statelock.Resting, bool, error) {
	r, rests := e.runs.Resting(run)
	if !rests {
		return r, false, nil
	}
	for i, x := range r.Edges {
		if x.To != "" {
			continue
		}
		st, err := e.store.State(ctx, x.Wanted.State)
		if err != nil || st.Holder == nil || *st.Holder == (flawless.Claim{Run: run, Call: x.Call}) { // it is about to be told
			return r, false, err
		}
		r.Edges[i].To = st.Holder.Run
	}
	return r, true, nil
}

// lookAnywhere is look for any run. A run whose engine cannot be asked may continue.
func (e *Engine) lookAnywhere(run string) (statelock.Resting, bool) {
	ctx, cancel := context.WithTimeout(e.life.Turns, rpc.Patience)
	defer cancel()
	if e.isHere(run) {
		r, rests, err := e.look(ctx, run)
		return r, rests && err == nil
	}
	l, err := lookOp.ask(ctx, e, store.ShardOf(run), run)
	return l.Resting, l.Rests && err == nil
}

// failAnywhere is tellDeadlock for a call of any run.
func (e *Engine) failAnywhere(first statelock.Edge, why string) bool {
	if e.isHere(first.From) {
		return e.tellDeadlock(first, why)
	}
	ctx, cancel := context.WithTimeout(e.life.Turns, rpc.Patience)
	defer cancel()
	told, err := breakOp.ask(ctx, e, store.ShardOf(first.From), breakRequest{first, why})
	return err == nil && told
}

// lookOp returns what a run waits for.
var lookOp = peerOp[string, looked]{"look", func(e *Engine, ctx context.Context, run string) (l looked, err error) {
	if err := e.mayTell(run); err != nil {
		return l, err
	}
	l.Resting, l.Rests, err = e.look(ctx, run)
	return l, err
}}

type looked struct {
	Resting statelock.Resting
	Rests   bool
}

// breakOp answers the call of an edge with an error, if it still waits as the edge says.
var breakOp = peerOp[breakRequest, bool]{"deadlock", func(e *Engine, ctx context.Context, in breakRequest) (bool, error) {
	if err := e.mayTell(in.First.From); err != nil {
		return false, err
	}
	r, rests, err := e.look(ctx, in.First.From)
	return rests && slices.Contains(r.Edges, in.First) && e.tellDeadlock(in.First, in.Why), err
}}

type breakRequest struct {
	First statelock.Edge
	Why   string
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
