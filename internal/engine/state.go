package engine

import (
	"context"
	"errors"
	"iter"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/borrow"
	"github.com/flawless-engine/flawless/internal/core"
	"github.com/flawless-engine/flawless/internal/live"
	"github.com/flawless-engine/flawless/internal/statelock"
	"github.com/flawless-engine/flawless/internal/store"
)

// newLocks connects shared states with the engine.
func (e *Engine) newLocks() *statelock.Locks {
	return statelock.New(statelock.Options{Graph: &e.graph, State: e.store.State, States: e.stateNames,
		Owns: e.ownsState, Put: e.putState, Gone: e.holderGone,
		Context: func() context.Context { return e.life.Calls }, Log: e.log})
}

// ownsState returns nil if the engine owns a state, else flawless.Elsewhere.
func (e *Engine) ownsState(name string) error { return e.ownsName(store.KindState, name) }

// stateNames yields the names of all states, also of those that other servers own.
func (e *Engine) stateNames(ctx context.Context, from string) iter.Seq2[string, error] {
	return e.store.States(ctx, from, store.AllShards())
}

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

// viewRun shows the state of a run of this engine.
func (e *Engine) viewRun(ctx context.Context, id string, f func(s *core.State)) error {
	r, err := e.runs.Acquire(ctx, id)
	if err != nil {
		return err
	}
	defer r.Release()
	r.View(f)
	return nil
}

// newStates connects the use of shared states by runs with the engine.
func (e *Engine) newStates() *borrow.States {
	return borrow.New(borrow.Options{Locks: e.locks, Graph: &e.graph, Errands: e.errands, Peers: e.peers,
		State: e.store.State, Log: e.store.Log, Owns: e.ownsState, OwnsRun: e.runs.Owns, View: e.viewRun, Gone: e.holderGone,
		Refused: func(ctx context.Context, r borrow.Run, c core.OpenCall, err error) error {
			return e.told(ctx, r.(*live.Run), c, flawless.Answer{}, err)
		},
		Turns: e.life.Turns, Calls: e.life.Calls, Err: e.life.Err, Report: e.holdEnded})
}

// States returns the states that runs share, also those that other servers own.
func (e *Engine) States() *borrow.States { return e.states }

// holdEnded logs that a hold was ended whose run does not need it.
func (e *Engine) holdEnded(h borrow.Hold, err error) {
	if err == nil {
		e.log.Info("ended the hold of a state that its run does not need any more", "state", h.State, "run", h.Lock.Run)
	} else if e.life.Turns.Err() == nil {
		e.log.Warn("ending the hold of a state failed", "state", h.State, "run", h.Lock.Run, "error", err)
	}
}
