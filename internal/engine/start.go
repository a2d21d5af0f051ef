package engine

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/core"
	"github.com/flawless-engine/flawless/internal/library"
	"github.com/flawless-engine/flawless/internal/value"
)

// Start asks for a run.
type Start struct {
	Module, Workflow string
	Input            json.RawMessage // nil is null
	ID               string          // "" makes a new one
	Of               string          // the run that this one repeats
	Deadline         time.Time       // the run is asked to give up then; zero is never
	Grace            time.Duration   // and terminated this much later; 0 is a minute
	Labels           map[string]string
	Place            flawless.Place // where it queues before it begins
	Version          string         // of the module, as its author or the store calls it; "" is the newest

	parent   string          // the run that spawns it
	schedule string          // the schedule that starts it
	call     int             // with this call
	digest   string          // of the code to run, whatever it is called; "" leaves it to Version
	held     *flawless.Pause // its parent is held back, and so is it
}

// Start accepts a run and returns when that is durable: after its first turn, or without it where
// that takes longer. Where the id is known with the same module, workflow and input it returns that
// run and false; with others, flawless.Conflict. When ctx ends before, nobody can say whether the
// run was accepted; asking again with the same id tells.
func (e *Engine) Start(ctx context.Context, o Start) (flawless.Run, bool, error) {
	r, err := e.begin(ctx, &o)
	switch {
	case err != nil:
		return flawless.Run{}, false, err
	case r == nil:
		return e.startedBefore(ctx, o)
	}
	return e.accepted(ctx, r, o)
}

// begin accepts a run, which is not durable yet, and leaves it acquired. Others get hold of it when it
// is. It returns nil where there is a run of that id in memory.
func (e *Engine) begin(ctx context.Context, o *Start) (*run, error) {
	if o.ID == "" {
		o.ID = flawless.NewRunID(e.clockNow())
	} else if err := o.checkID(); err != nil {
		return nil, err
	}
	if len(o.Input) == 0 {
		o.Input = json.RawMessage("null")
	}
	if err := flawless.CheckLabels(o.Labels); err != nil {
		return nil, fmt.Errorf("starting %s/%s: %w", o.Module, o.Workflow, err)
	}
	if err := o.Place.Check(); err != nil {
		return nil, fmt.Errorf("starting %s/%s: %w", o.Module, o.Workflow, err)
	}
	if err := e.accepts(); err != nil {
		return nil, err
	}
	defer e.library.Choose()()
	m, l, err := e.version(ctx, *o)
	if err != nil {
		return nil, err
	}
	if err := l.CheckInput(*m.Workflow(o.Workflow), o.Input); err != nil {
		return nil, fmt.Errorf("starting %s/%s: %w", o.Module, o.Workflow, err)
	}
	e.mu.Lock()
	if e.runs[o.ID] != nil || e.set[o.ID] != "" {
		e.mu.Unlock()
		return nil, nil
	}
	r := e.newRun(o.ID)
	e.mu.Unlock()

	seed := make([]byte, 32)
	_, _ = rand.Read(seed) // never fails
	if e.seed != nil {
		seed = e.seed(o.ID)
	}
	now := e.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, x := range core.StartEntries(*o.logged(m, seed, now, e.url), o.held) {
		r.append(x)
	}
	r.wakeLocked()
	return r, nil
}

// logged is the start as the log has it.
func (o *Start) logged(m flawless.Module, seed []byte, now int64, url string) *flawless.Start {
	return &flawless.Start{Module: m.Name, Digest: m.Digest, Workflow: o.Workflow, Version: o.Version, Input: bytes.Clone(o.Input),
		Seed: seed, Time: now, Parent: o.parent, Call: o.call, URL: url, Of: o.Of, Deadline: Moment(o.Deadline), Grace: int64(o.Grace),
		Labels: maps.Clone(o.Labels), Place: placeOf(o.Place), Schedule: o.schedule}
}

// checkID refuses an id that is none, or not the caller's to give.
func (o *Start) checkID() error {
	if o.schedule != "" || o.parent != "" { // the engine has made it
		return flawless.CheckID(o.ID)
	}
	return flawless.CheckNewID(o.ID)
}

// accepted waits until a run that was begun is durable, and releases it.
func (e *Engine) accepted(ctx context.Context, r *run, o Start) (flawless.Run, bool, error) {
	r.mu.Lock()
	account, err := r.durable(ctx)
	r.mu.Unlock()
	e.release(r)
	if errors.Is(err, flawless.Conflict) {
		e.forget(r)
		e.touch(o.ID) // whoever wanted to wake the run that is there found ours in its place
		return e.startedBefore(ctx, o)
	}
	return account, err == nil, err
}

// placeOf is a place as the log has it.
func placeOf(p flawless.Place) *flawless.Place {
	if p == (flawless.Place{}) {
		return nil
	}
	return &p
}

// forget takes a run out of memory that turned out to be another's.
func (e *Engine) forget(r *run) {
	r.mu.Lock()
	for r.driving || r.writing {
		r.idle.Wait()
	}
	r.mu.Unlock()
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.runs[r.id] != r {
		return
	}
	e.residency.Withdraw(&r.seat)
	r.mu.Lock()
	r.drop()
	r.gone = true
	r.mu.Unlock()
	delete(e.runs, r.id)
}

// Moment is a time as the log has it, in Unix nanoseconds: 0 is none. One that these do not reach, in the
// year 2262 and later, is the last that they do, and not one of the past.
func Moment(t time.Time) int64 {
	last := time.Unix(0, math.MaxInt64)
	switch {
	case t.IsZero():
		return 0
	case t.After(last):
		t = last
	case t.Before(time.Unix(0, 1)):
		t = time.Unix(0, 1)
	}
	return t.UnixNano()
}

// version returns the version of the module that a run is to be started with, and its code.
func (e *Engine) version(ctx context.Context, o Start) (flawless.Module, *library.Module, error) {
	return e.library.Find(ctx, library.Wanted{Module: o.Module, Version: o.Version, Digest: o.digest, Workflow: o.Workflow})
}

// startedBefore answers a start whose id is taken.
func (e *Engine) startedBefore(ctx context.Context, o Start) (flawless.Run, bool, error) {
	r, err := e.Run(ctx, o.ID)
	if errors.Is(err, flawless.NotFound) {
		return e.startedLongAgo(ctx, o)
	}
	if err != nil {
		return r, false, err
	}
	s, err := e.begun(ctx, o.ID)
	if err != nil {
		return r, false, err
	}
	switch {
	case s.Module != o.Module || s.Workflow != o.Workflow:
		return r, false, fmt.Errorf("starting %s/%s: the id %s belongs to a run of %s/%s; use another id: %w", o.Module, o.Workflow, o.ID, s.Module, s.Workflow, flawless.Conflict)
	case !value.SameJSON(s.Input, o.Input):
		return r, false, fmt.Errorf("starting %s/%s: the run %s was started with another input; use another id: %w", o.Module, o.Workflow, o.ID, flawless.Conflict)
	}
	return r, false, nil
}

// begun returns how a run began.
func (e *Engine) begun(ctx context.Context, id string) (*flawless.Start, error) {
	for rec, err := range e.store.Log(ctx, id, 0) {
		if err != nil {
			return nil, err
		}
		if len(rec.Entries) > 0 && rec.Entries[0].Start != nil {
			return rec.Entries[0].Start, nil
		}
		break
	}
	return nil, fmt.Errorf("the log of run %s does not begin with a start: %w", id, flawless.Damaged)
}

// startedLongAgo answers a start whose id was that of a run which is removed by now.
func (e *Engine) startedLongAgo(ctx context.Context, o Start) (flawless.Run, bool, error) {
	gone, err := e.store.Gone(ctx, o.ID)
	r := gone.Run
	switch {
	case errors.Is(err, flawless.NotFound):
		return r, false, fmt.Errorf("starting %s/%s: a run of the id %s is being removed; try again in a moment, or use another id: %w", o.Module, o.Workflow, o.ID, flawless.Conflict)
	case err != nil:
		return r, false, fmt.Errorf("starting %s/%s: %w", o.Module, o.Workflow, err)
	case r.Module != o.Module || r.Workflow != o.Workflow:
		return r, false, fmt.Errorf("starting %s/%s: the id %s belonged to a run of %s/%s; use another id: %w", o.Module, o.Workflow, o.ID, r.Module, r.Workflow, flawless.Conflict)
	case !gone.SameInput(o.Input):
		return r, false, fmt.Errorf("starting %s/%s: the run %s, which is removed by now, was started with another input; use another id: %w", o.Module, o.Workflow, o.ID, flawless.Conflict)
	}
	return r, false, nil
}
