package engine

import (
	"context"
	"errors"
	"iter"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/core"
	"github.com/flawless-engine/flawless/internal/statelock"
	"github.com/flawless-engine/flawless/internal/store"
)

// newLocks connects shared states with the engine.
func (e *Engine) newLocks() *statelock.Locks {
	return statelock.New(statelock.Options{Graph: &e.graph, State: e.store.State, States: e.stateNames,
		Owns: func(name string) error { return e.ownsName(store.KindState, name) }, Put: e.putState, Gone: e.holderGone,
		Context: func() context.Context { return e.life.Calls }, Log: e.log})
}

// stateNames yields the names of all states, also of those that other servers own.
func (e *Engine) stateNames(ctx context.Context, from string) iter.Seq2[string, error] {
	return e.store.States(ctx, from, store.AllShards())
}

// States returns the states that runs share.
func (e *Engine) States() *statelock.Locks { return e.locks }

// putState makes a state durable. If it is unknown whether the store has it, the store is given up.
func (e *Engine) putState(name string, st store.State) error {
	life, err := e.runs.Life(store.ShardOfName(store.KindState, name))
	if err != nil {
		return err
	}
	err = elsewhere(life.WhenSpace(func() error { return e.store.PutState(context.Background(), e.lease, name, st) }))
	if err != nil && !errors.Is(err, flawless.Stopping) && !errors.Is(err, flawless.Elsewhere) && !errors.Is(err, flawless.TooLarge) {
		e.life.Break(err)
	}
	return err
}

// holderGone reports whether a holder's run has ended, and with it the hold.
func (e *Engine) holderGone(holder flawless.Claim) bool {
	h, err := e.store.Head(e.life.Calls, holder.Run)
	if err != nil || !h.Run.Status.Ended() {
		return errors.Is(err, flawless.NotFound)
	}
	if !h.Active {
		return true
	}
	r, err := e.runs.Acquire(e.life.Calls, holder.Run)
	if err != nil {
		return false
	}
	defer r.Release()
	changes := false
	r.View(func(s *core.State) { changes = s.ChangesState(holder.Call) })
	return !changes // a call that changes the state is still carried out, and ends the hold
}
