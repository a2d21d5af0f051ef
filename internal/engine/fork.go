package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/fork"
	"github.com/flawless-engine/flawless/internal/library"
	"github.com/flawless-engine/flawless/internal/redact"
	"github.com/flawless-engine/flawless/internal/replay"
	"github.com/flawless-engine/flawless/internal/residency"
)

// Fork describes a new run that continues from the past of another one.
type Fork struct {
	Turn    int                 // the last turn that both share; 0 is the start alone
	ID      string              // of the new run; "" makes one
	Answers []flawless.Decision // answers to calls of the past that were not delivered in it: Call, Status, Body
	Module  []byte              // other code, which must make the same calls in the past; nil is the run's own
	Digest  string              // the code of another version in the store, instead of Module
	Who     string
}

// Fork starts a run that shares the past of another one up to a turn, and continues for real.
//
// Calls of the past that the other run had answered later get the same answer, if the answer is about the world and not
// about the other run. Any other call of the past waits for its real answer if one will come, is carried out for the new
// run if that harms nobody, or has an unknown outcome: no answer is made up. In its first own turn the guest gets its
// own id.
//
// Fork returns *flawless.Divergence if the code makes other calls in the past, and flawless.Refused if the log was redacted
// before it was imported. The same id makes one run, however often it is forked; flawless.Conflict if another run has it.
// A crash in the middle leaves the whole run or none.
func (e *Engine) Fork(ctx context.Context, id string, o Fork) (flawless.Run, error) {
	if o.ID == "" {
		o.ID = e.NewID()
	}
	if err := flawless.CheckNewID(o.ID); err != nil {
		return flawless.Run{}, err
	}
	if err := e.life.Accept(); err != nil {
		return flawless.Run{}, err
	}
	defer e.library.Choose()()
	past, done, err := e.past(ctx, id, o)
	if err != nil {
		return flawless.Run{}, fmt.Errorf("forking run %s: %w", id, err)
	}
	defer done()
	if !redact.Own(replay.Redacted(past.Begun())) {
		return flawless.Run{}, fmt.Errorf("forking run %s: values were redacted from its log before it was imported, so a fork would send other values to the outside; fork it with --offline: %w", id, flawless.Refused)
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
	e.runs.Wake(o.ID)
	return e.Run(ctx, o.ID)
}

// forkedBefore reports whether the same request has made a run before.
func (e *Engine) forkedBefore(ctx context.Context, id string, past *fork.Past) bool {
	for rec, err := range e.store.Log(ctx, id, 0) {
		return err == nil && past.Made(rec)
	}
	return false
}

// past replays the past that a fork continues from. Call done to release it.
func (e *Engine) past(ctx context.Context, id string, o Fork) (_ *fork.Past, done func(), err error) {
	run, err := e.Run(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	m, giveBack, err := e.library.Borrow(ctx, cmp.Or(o.Digest, run.Digest), o.Module)
	if err != nil {
		return nil, nil, err
	}
	// A past may be large, so only so many are in memory at a time.
	if err := e.residency.Compute.Acquire(ctx, residency.Heavy, 0, nil); err != nil {
		giveBack()
		return nil, nil, err
	}
	release := func() {
		e.residency.Compute.Release()
		giveBack()
	}
	log, err := e.Log(ctx, id, 0, 0)
	if err != nil {
		release()
		return nil, nil, fmt.Errorf("its log was cut or is damaged, so its past is unknown: %w", err)
	}
	past, err := fork.New(ctx, m, id, log, fork.Options{Turn: o.Turn, Answers: o.Answers, Who: o.Who, Kinds: e.kinds, Runs: e.Run, Terms: e.terms})
	if err != nil {
		release()
		return nil, nil, err
	}
	done = func() {
		past.Release()
		release()
	}
	if o.Module != nil || o.Digest != "" { // code has not read the input before turn 1
		if err := library.AcceptsInput(m, past.Begun().Workflow, past.Begun().Input); err != nil {
			done()
			return nil, nil, err
		}
	}
	return past, done, nil
}

// Offline continues a run from a turn of its past without the outside, and changes nothing: calls that its log has are
// answered from there, timers and sleeps pass at once, and the first other call stops it.
func (e *Engine) Offline(ctx context.Context, id string, o Fork) (flawless.Offline, error) {
	past, done, err := e.past(ctx, id, o)
	if err != nil {
		return flawless.Offline{}, fmt.Errorf("forking run %s: %w", id, err)
	}
	defer done()
	return past.Offline(ctx)
}
