package engine

import (
	"context"
	"errors"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/statelock"
	"github.com/flawless-engine/flawless/internal/store"
)

// newLocks connects the states that runs share with this engine.
func (e *Engine) newLocks() *statelock.Locks {
	return statelock.New(statelock.Options{Graph: &e.graph, State: e.store.State, States: e.store.States, Put: e.putState, Gone: e.holderGone,
		Context: func() context.Context { return e.performCtx }, Log: e.log})
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
	err := e.whenSpace(func() error { return e.store.PutState(context.Background(), e.lease, name, st) })
	if err != nil && !errors.Is(err, flawless.Stopping) && !errors.Is(err, flawless.TooLarge) {
		e.broken(err)
	}
	return err
}

// holderGone tells whether a holder's run has ended, and with it the hold.
func (e *Engine) holderGone(holder flawless.Claim) bool {
	h, err := e.store.Head(e.performCtx, holder.Run)
	if err != nil || !h.Run.Status.Ended() {
		return errors.Is(err, flawless.NotFound)
	}
	if !h.Active {
		return true
	}
	r, err := e.acquire(e.performCtx, holder.Run)
	if err != nil {
		return false
	}
	defer e.release(r)
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.s.ChangesState(holder.Call) // one that changes the state is carried out still, and ends the hold
}

// The methods of statelock.Run.

func (r *run) ID() string { return r.id }

func (r *run) Answer(call int, a flawless.Answer) bool { return r.e.answer(r, call, a) }

func (r *run) Waits(call int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.s.Call(call) != nil && r.s.Outcome() == ""
}

func (r *run) Ended() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.s.Outcome() != ""
}

func (r *run) Inherited(lock int) ([]byte, bool, error) { return r.e.inherited(r, lock) }

func (r *run) Retain() { r.e.hold(r) }

func (r *run) Release() { r.e.release(r) }
