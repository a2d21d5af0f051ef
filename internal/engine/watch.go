package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
)

// Wait returns the run when it has ended, or ctx's error. It goes on when another server takes over the run.
func (e *Engine) Wait(ctx context.Context, id string) (flawless.Run, error) {
	return e.waitAnywhere(ctx, awaited{Run: id}, func() (flawless.Run, error) { return e.waitHere(ctx, id) })
}

// Settled returns the run when it has ended or is unresolved, or ctx's error. It goes on when another server takes over the
// run.
func (e *Engine) Settled(ctx context.Context, id string) (flawless.Run, error) {
	return e.waitAnywhere(ctx, awaited{Run: id, Rest: true}, func() (flawless.Run, error) { return e.settledHere(ctx, id) })
}

func (e *Engine) waitAnywhere(ctx context.Context, a awaited, here func() (flawless.Run, error)) (flawless.Run, error) {
	for {
		r, err := here()
		if !errors.Is(err, flawless.Elsewhere) {
			return r, err
		}
		if came, err := e.awaitElsewhere(ctx, a, err); err != nil || came.So {
			return came.Run, err
		}
	}
}

// waitHere is Wait for a run that this engine owns, or that has ended.
func (e *Engine) waitHere(ctx context.Context, id string) (flawless.Run, error) {
	t, done := e.hub.Follow(id)
	defer done()
	r, err := e.Run(ctx, id)
	if err != nil || r.Status.Ended() {
		return r, err
	}
	if err := e.await(ctx, id, t.Ended()); err != nil {
		return r, err
	}
	if end := t.End(); end != nil {
		return *end, nil
	}
	return r, e.life.Err()
}

// settledHere is Settled for a run that this engine owns, or that rests.
func (e *Engine) settledHere(ctx context.Context, id string) (flawless.Run, error) {
	t, done := e.hub.Follow(id)
	defer done()
	r, err := e.Run(ctx, id)
	if err != nil || r.Status.Ended() || r.Status == flawless.Unresolved {
		return r, err
	}
	for {
		rest, rests := t.Resting()
		if rest != nil {
			return *rest, nil
		}
		if err := e.await(ctx, id, rests); err != nil {
			return r, err
		}
		if rest, _ = t.Resting(); rest == nil && e.life.Stopping() {
			return r, e.life.Err()
		}
	}
}

// await waits until a run has changed. It returns flawless.Elsewhere if another server owns the run, which is then the one
// that knows of changes.
func (e *Engine) await(ctx context.Context, id string, changed <-chan struct{}) error {
	life, err := e.runs.Life(store.ShardOf(id))
	if err != nil {
		return fmt.Errorf("following run %s: %w", id, err)
	}
	select {
	case <-changed:
		if life.Over() {
			return life.Err()
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Follow yields the records of a run, beginning with number from, as they become durable. It ends when the run has ended
// and all its calls are over, or with an error. It goes on when another server takes over the run.
func (e *Engine) Follow(ctx context.Context, id string, from uint64) iter.Seq2[flawless.Record, error] {
	return func(yield func(flawless.Record, error) bool) {
		t, done := e.hub.Follow(id)
		defer func() { done() }()
		for {
			changed := t.Changed()
			run, part, more, err := e.readOn(ctx, id, from)
			for _, rec := range part {
				if !yield(rec, nil) {
					return
				}
				from = rec.Seq + 1
			}
			switch {
			case err != nil:
			case more:
				continue
			case run.Status.Ended():
				return
			default:
				if err = e.await(ctx, id, changed); errors.Is(err, flawless.Elsewhere) {
					_, err = e.awaitElsewhere(ctx, awaited{Run: id, Record: true, From: from}, err)
					done() // the topic is closed if this engine has lost the run
					t, done = e.hub.Follow(id)
				}
			}
			if err != nil {
				yield(flawless.Record{}, err)
				return
			}
		}
	}
}

// batch is how many records a follower reads at a time, or fewer once they have batchBytes. The follower may take its time to
// pass them on, so nothing of the database is held meanwhile. maxReaders is how many followers read at the same time.
const (
	batch      = 100
	batchBytes = 1 << 20
	maxReaders = 16
)

// readOn returns a run, the next records of its log, and whether there are more. Few followers read at the same time: of
// ten thousand that follow one run, all want to when it changes.
func (e *Engine) readOn(ctx context.Context, id string, from uint64) (run flawless.Run, part []flawless.Record, more bool, err error) {
	if err := e.reading.Acquire(ctx, 1); err != nil {
		return run, nil, false, err
	}
	defer e.reading.Release(1)
	if run, err = e.Run(ctx, id); err != nil {
		return run, nil, false, err
	}
	size := 0
	for rec, err := range e.store.Log(ctx, id, from) {
		if err != nil || len(part) == batch || size > batchBytes {
			return run, part, err == nil, err
		}
		part = append(part, rec)
		size += rec.Size()
	}
	return run, part, false, nil
}

// Watch yields every run whose durable state changes from now on, until ctx ends or the engine stops.
func (e *Engine) Watch(ctx context.Context) iter.Seq2[flawless.Run, error] {
	w, done := e.hub.Watch()
	return func(yield func(flawless.Run, error) bool) {
		defer done()
		for {
			select {
			case <-w.More():
			case <-w.Closed():
				yield(flawless.Run{}, e.life.Err())
				return
			case <-ctx.Done():
				yield(flawless.Run{}, ctx.Err())
				return
			}
			for _, r := range w.Take() {
				if !yield(r, nil) {
					return
				}
			}
		}
	}
}

// Response waits until a run has published data, which is how modules of the crate flawless respond, or has ended, and
// returns the run and its data, nil if there is none. The run continues.
func (e *Engine) Response(ctx context.Context, id string) (flawless.Run, json.RawMessage, error) {
	if r, data, err := e.response(ctx, id); err != nil || data != nil || r.Status.Ended() {
		return r, data, err
	}
	for _, err := range e.Follow(ctx, id, 0) {
		if err != nil {
			return flawless.Run{}, nil, err
		}
		if r, data, err := e.response(ctx, id); err != nil || data != nil {
			return r, data, err
		}
	}
	return e.response(ctx, id)
}

func (e *Engine) response(ctx context.Context, id string) (flawless.Run, json.RawMessage, error) {
	r, err := e.Run(ctx, id)
	if err != nil {
		return r, nil, err
	}
	data, err := e.Data(ctx, id)
	if errors.Is(err, flawless.NotFound) {
		return r, nil, nil
	}
	return r, data, err
}
