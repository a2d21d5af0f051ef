package engine

import (
	"context"
	"errors"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/core"
	"github.com/flawless-engine/flawless/internal/statelock"
	"github.com/flawless-engine/flawless/internal/store"
)

// newLocks connects the states that runs share with this engine.
func (e *Engine) newLocks() *statelock.Locks {
	return statelock.New(statelock.Options{Graph: &e.graph, State: e.store.State, States: e.store.States, Put: e.putState, Gone: e.holderGone,
		Context: func() context.Context { return e.life.Calls }, Log: e.log})
}

// State returns a state with who holds it and who waits for it, or flawless.NotFound.
func (e *Engine) State(ctx context.Context, name string) (flawless.State, error) {
	return e.locks.State(ctx, name)
}

// States returns at most limit states in order of their names, from one on; next is where the page
// after it begins, "" at the end.
func (e *Engine) States(ctx context.Context, from string, limit int) (page []flawless.State, next string, err error) {
	return e.locks.States(ctx, from, limit)
}

// putState makes a state durable. Where it cannot say what the store has, the store is given up.
func (e *Engine) putState(name string, st store.State) error {
	err := e.life.WhenSpace(func() error { return e.store.PutState(context.Background(), e.lease, name, st) })
	if err != nil && !errors.Is(err, flawless.Stopping) && !errors.Is(err, flawless.TooLarge) {
		e.life.Break(err)
	}
	return err
}

// holderGone tells whether a holder's run has ended, and with it the hold.
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
