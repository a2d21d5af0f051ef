package engine

import (
	"context"
	"errors"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/history"
)

// newHistory connects what becomes of lost writes with the engine.
func (e *Engine) newHistory() *history.Keeper {
	return history.New(history.Options{Store: e.store, Lease: e.lease, Runs: e.runs, Ring: e.ring, Peers: e.peers, Now: e.clockNow, Log: e.log, Change: e.change, PauseSchedules: e.schedules.PauseAll})
}

// History returns whether the history of the store is in question, as this server knew a moment ago.
func (e *Engine) History() flawless.History { return e.history.History() }

// ReadHistory returns whether the history of the store is in question, see [history.Keeper.Read].
func (e *Engine) ReadHistory(ctx context.Context) (flawless.History, error) {
	return e.history.Read(ctx)
}

// AcceptHistory ends the question whether calls were made of which nobody knows, see [history.Keeper.Accept].
func (e *Engine) AcceptHistory(ctx context.Context, who, note string) (flawless.History, error) {
	return e.history.Accept(ctx, who, note)
}

// removeLost removes a run that the database has lost, once a person has decided that none of its calls took effect.
func (e *Engine) removeLost(ctx context.Context, id string) error {
	err := e.store.Remove(ctx, e.lease, id, false)
	if errors.Is(err, flawless.NotFound) {
		return nil
	}
	return err
}

// watchLease cuts calls off soon after the lease of this server has ended, if others may repeat them.
func (e *Engine) watchLease(valid func() bool) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for was := true; ; {
		select {
		case <-e.life.Turns.Done():
			return
		case <-tick.C:
		}
		now := valid()
		if was && !now {
			e.runs.CutOff()
		}
		was = now
	}
}
