package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/fork"
	"github.com/flawless-engine/flawless/internal/library"
	"github.com/flawless-engine/flawless/internal/redact"
	"github.com/flawless-engine/flawless/internal/replay"
)

// Fork says how a run goes on from the past of another one.
type Fork struct {
	Turn    int                 // the last turn they share; 0 is the start alone
	ID      string              // of the new run; "" makes one
	Answers []flawless.Decision // answers to calls of the past that were not delivered in it: Call, Status, Body
	Module  []byte              // other code, which must ask for the same in the past; nil is the run's own
	Who     string
}

// Fork starts a run that shares the past of another one up to a turn, and goes on for real. What the
// other one had called and was answered later, this one is answered, too, where the answer tells of the
// world and not of the other run. A call of the past that has no such answer waits for the real one where
// there will be one, is carried out for this run where that harms nobody, or is in doubt: no answer is made
// up. With its first own turn its guest is told its own id. Code that asks for something else in the past is
// *flawless.Divergence, and a run whose log was redacted before it was imported is flawless.Refused.
// With the same id it makes one run, however often it is asked for; flawless.Conflict where a run of another
// kind has it. After a crash in the middle there is the whole run or none.
func (e *Engine) Fork(ctx context.Context, id string, o Fork) (flawless.Run, error) {
	if o.ID == "" {
		o.ID = flawless.NewRunID(e.clockNow())
	}
	if err := flawless.CheckNewID(o.ID); err != nil {
		return flawless.Run{}, err
	}
	if err := e.accepts(); err != nil {
		return flawless.Run{}, err
	}
	defer e.library.Choose()()
	past, done, err := e.past(ctx, id, o)
	if err != nil {
		return flawless.Run{}, fmt.Errorf("forking run %s: %w", id, err)
	}
	defer done()
	if !redact.Own(replay.Redacted(past.Begun())) {
		return flawless.Run{}, fmt.Errorf("forking run %s: values were taken out of its log before it was imported, and what goes on from there would send others to the outside; fork it with --offline: %w", id, flawless.Refused)
	}
	if o.Module != nil {
		if err := e.store.KeepBinary(ctx, e.lease, past.Digest(), o.Module); err != nil {
			return flawless.Run{}, err
		}
	}
	s, entries := past.Entries(ctx, o.ID, e.now())
	run, err := e.keep(ctx, s, entries, true)
	if errors.Is(err, flawless.Conflict) && e.forkedBefore(ctx, o.ID, past) {
		return e.Run(ctx, o.ID)
	}
	if err != nil {
		return run, err
	}
	if next := s.NextWake(); next != 0 {
		e.clock.Add(next, o.ID)
	}
	e.touch(o.ID)
	return e.Run(ctx, o.ID)
}

// forkedBefore tells whether there is a run that was made by the same request.
func (e *Engine) forkedBefore(ctx context.Context, id string, past *fork.Past) bool {
	for rec, err := range e.store.Log(ctx, id, 0) {
		return err == nil && past.Made(rec)
	}
	return false
}

// past replays what something is to go on from. Done gives it back.
func (e *Engine) past(ctx context.Context, id string, o Fork) (_ *fork.Past, done func(), err error) {
	run, err := e.Run(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	log, err := e.Log(ctx, id, 0, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("its log was cut or is damaged, and what happened before cannot be told: %w", err)
	}
	m, giveBack, err := e.library.Borrow(ctx, run.Digest, o.Module)
	if err != nil {
		return nil, nil, err
	}
	past, err := fork.New(ctx, m, id, log, fork.Options{Turn: o.Turn, Answers: o.Answers, Who: o.Who, Kinds: e.kinds, Runs: e.Run})
	if err != nil {
		giveBack()
		return nil, nil, err
	}
	done = func() {
		past.Release()
		giveBack()
	}
	if o.Module != nil { // code of before turn 1 has not read the input yet
		if err := library.AcceptsInput(m, past.Begun().Workflow, past.Begun().Input); err != nil {
			done()
			return nil, nil, err
		}
	}
	return past, done, nil
}

// Offline lets a run go on from a turn of its past with the world closed, and touches nothing: calls
// that its log has are answered from there, timers and sleeps pass at once, and the first other call
// stops it.
func (e *Engine) Offline(ctx context.Context, id string, o Fork) (flawless.Offline, error) {
	past, done, err := e.past(ctx, id, o)
	if err != nil {
		return flawless.Offline{}, fmt.Errorf("forking run %s: %w", id, err)
	}
	defer done()
	return past.Offline(ctx)
}

// ownSelf returns what a guest is to be told in its next turn: the guest of a fork knows itself as
// another run until then. It is nil for all others. The caller holds mu.
func (r *run) ownSelf() *flawless.Self {
	if r.s.Self().Run == r.id {
		return nil
	}
	return &flawless.Self{Run: r.id, URL: r.e.url}
}

// inherited returns the value that the run was told with a hold which is not its own: it is of the
// past that it shares with another run.
func (e *Engine) inherited(r *run, lock int) (value []byte, found bool, err error) {
	r.mu.Lock()
	origin := r.s.Start().Origin
	r.mu.Unlock()
	if origin == nil {
		return nil, false, nil
	}
	for rec, err := range e.store.Log(e.performCtx, r.id, 0) {
		if err != nil {
			return nil, false, err
		}
		for _, x := range rec.Entries { // the first record is all of the past
			if x.Arrival != nil && x.Arrival.Call == lock {
				return x.Arrival.Body, true, nil
			}
		}
		break
	}
	return nil, false, nil
}
