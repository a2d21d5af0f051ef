package engine

import (
	"bytes"
	"cmp"
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
	"github.com/flawless-engine/flawless/internal/live"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/value"
)

// Start describes a run to be started.
type Start struct {
	Module, Workflow string
	Input            json.RawMessage // nil is null
	ID               string          // "" makes a new one
	Of               string          // the run that this one restarts
	Deadline         time.Time       // the run is cancelled then; zero is never
	Grace            time.Duration   // time between the deadline and its termination; 0 is a minute
	Labels           map[string]string
	Queue            flawless.QueueOptions // how it queues for admission
	Version          string                // of the module, as its author or the store names it; "" is the newest
	Request          string                // id of the request that asks for it, which the log keeps; "" is none

	parent   string          // the run that spawns it
	schedule string          // the schedule that starts it
	call     int             // with this call
	digest   string          // of the code to run, whatever it is called; "" leaves it to Version
	held     *flawless.Pause // its parent is held back, and so is the run
}

// Start accepts a run and returns when that is durable: after its first turn, or before it if the turn takes long. If
// there is a run of that id, Start returns it and false if its module, workflow and input are the same, and
// flawless.Conflict if they differ. If ctx ends first, it is unknown whether the run was accepted: start it again with the
// same id to find out.
func (e *Engine) Start(ctx context.Context, o Start) (flawless.Run, bool, error) {
	for {
		run, started, err := e.tryStart(ctx, &o)
		if !errors.Is(err, store.ErrStale) {
			return run, started, err
		}
		if err := e.stale(ctx, o.ID); err != nil {
			return flawless.Run{}, false, err
		}
	}
}

// stale prepares for another attempt to create a run after store.ErrStale.
func (e *Engine) stale(ctx context.Context, id string) error {
	if r, err := e.runs.Acquire(ctx, id); err == nil { // it evicts a Run that was not accepted
		r.Release()
	}
	return e.library.Renew(ctx)
}

// tryStart is Start. It returns store.ErrStale if another server has changed the modules meanwhile: then try again.
func (e *Engine) tryStart(ctx context.Context, o *Start) (flawless.Run, bool, error) {
	r, err := e.begin(ctx, o)
	switch {
	case err != nil:
		return flawless.Run{}, false, err
	case r == nil:
		return e.startedBefore(ctx, *o)
	}
	return e.accepted(ctx, r, *o)
}

// begin checks o and creates the run, which is acquired and not durable yet. It returns nil if there is a run of that id in
// memory.
func (e *Engine) begin(ctx context.Context, o *Start) (*live.Run, error) {
	if o.ID == "" {
		o.ID = e.NewID()
	} else if err := o.checkID(); err != nil {
		return nil, err
	} else if err := e.history.Check(o.ID); err != nil && o.parent == "" {
		return nil, err
	}
	if len(o.Input) == 0 {
		o.Input = json.RawMessage("null")
	}
	if err := flawless.CheckLabels(o.Labels); err != nil {
		return nil, fmt.Errorf("starting %s/%s: %w", o.Module, o.Workflow, err)
	}
	if err := cmp.Or(o.Queue.Check(), o.checkDeadline(e.clockNow())); err != nil {
		return nil, fmt.Errorf("starting %s/%s: %w", o.Module, o.Workflow, err)
	}
	if err := e.life.Accept(); err != nil {
		return nil, err
	}
	defer e.library.Choose()()
	m, l, c, err := e.version(ctx, *o)
	if err != nil {
		return nil, err
	}
	if err := l.CheckInput(*m.Workflow(o.Workflow), o.Input); err != nil {
		return nil, fmt.Errorf("starting %s/%s: %w", o.Module, o.Workflow, err)
	}
	seed := make([]byte, 32)
	_, _ = rand.Read(seed) // never fails
	if e.seed != nil {
		seed = e.seed(o.ID)
	}
	entries := core.StartEntries(*o.logged(m, seed, e.now(), e.url), o.held)
	entries[0].Request = o.Request
	return e.runs.Create(o.ID, c, entries)
}

// logged returns the start as it is logged.
func (o *Start) logged(m flawless.Module, seed []byte, now int64, url string) *flawless.Start {
	return &flawless.Start{Module: m.Name, Digest: m.Digest, Workflow: o.Workflow, Version: o.Version, Input: bytes.Clone(o.Input),
		Seed: seed, Time: now, Parent: o.parent, Call: o.call, URL: url, Of: o.Of, Deadline: Moment(o.Deadline), Grace: int64(o.Grace),
		Labels: maps.Clone(o.Labels), Queue: placeOf(o.Queue), Schedule: o.schedule}
}

// checkID refuses an invalid id, and one that only the engine may give.
func (o *Start) checkID() error {
	if o.schedule != "" || o.parent != "" { // the engine has given it
		return flawless.CheckID(o.ID)
	}
	return flawless.CheckNewID(o.ID)
}

// isTooFar reports whether a deadline exceeds the limit. It allows for the clock of a client that is ahead.
func isTooFar(deadline, now time.Time) bool {
	const ahead = 24 * time.Hour
	return deadline.Sub(now) > flawless.MaxDeadline+ahead
}

// checkDeadline refuses a deadline or a grace period that is too long, and a grace period that would have no effect.
func (o *Start) checkDeadline(now time.Time) error {
	switch {
	case isTooFar(o.Deadline, now):
		return fmt.Errorf("the deadline is at %s; use a time within the next 10 years: %w", o.Deadline.UTC().Format(time.RFC3339), flawless.Invalid)
	case o.Grace < 0 || o.Grace > flawless.MaxDeadline:
		return fmt.Errorf("the grace period is %v; use 1ms to 10 years: %w", o.Grace, flawless.Invalid)
	case o.Grace > 0 && o.Deadline.IsZero():
		return fmt.Errorf("a grace period needs a deadline; set one: %w", flawless.Invalid)
	}
	return nil
}

// accepted waits until the run that begin has created is durable, and releases it.
func (e *Engine) accepted(ctx context.Context, r *live.Run, o Start) (flawless.Run, bool, error) {
	summary, err := r.Accepted(ctx)
	if errors.Is(err, store.ErrStale) {
		return summary, false, err
	}
	if errors.Is(err, flawless.Conflict) {
		return e.startedBefore(ctx, o)
	}
	return summary, err == nil, err
}

// placeOf returns a queue position as it is logged, nil if it is the zero value.
func placeOf(p flawless.QueueOptions) *flawless.QueueOptions {
	if p == (flawless.QueueOptions{}) {
		return nil
	}
	return &p
}

// Moment converts a time to Unix nanoseconds for the log; the zero time becomes 0, and times after 2262 are clamped to the
// maximum.
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

// version returns the version of the module that a run starts with, its code, and the catalog that both rely on.
func (e *Engine) version(ctx context.Context, o Start) (flawless.Module, *library.Module, *store.Catalog, error) {
	return e.library.Find(ctx, library.Selector{Module: o.Module, Version: o.Version, Digest: o.digest, Workflow: o.Workflow})
}

// startedBefore returns the result of a start whose id is taken.
func (e *Engine) startedBefore(ctx context.Context, o Start) (flawless.Run, bool, error) {
	r, err := e.runs.Summary(ctx, o.ID)
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
	case s.Lost && !r.Status.Ended():
		return r, false, fmt.Errorf("starting %s/%s: the database lost a run with the id %s that has made calls; decide about them first (flawless workflow resolve): %w", o.Module, o.Workflow, o.ID, flawless.Conflict)
	case s.Module != o.Module || s.Workflow != o.Workflow:
		return r, false, fmt.Errorf("starting %s/%s: the id %s belongs to a run of %s/%s; use another id: %w", o.Module, o.Workflow, o.ID, s.Module, s.Workflow, flawless.Conflict)
	case !value.SameJSON(s.Input, o.Input):
		return r, false, fmt.Errorf("starting %s/%s: the run %s was started with another input; use another id: %w", o.Module, o.Workflow, o.ID, flawless.Conflict)
	}
	return r, false, nil
}

// begun returns the start of a run.
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

// startedLongAgo returns the result of a start whose id was that of a run which has been removed.
func (e *Engine) startedLongAgo(ctx context.Context, o Start) (flawless.Run, bool, error) {
	gone, err := e.store.Gone(ctx, o.ID)
	r := gone.Run
	switch {
	case errors.Is(err, flawless.NotFound):
		return r, false, fmt.Errorf("starting %s/%s: a run with the id %s is being removed; try again in a moment, or use another id: %w", o.Module, o.Workflow, o.ID, flawless.Conflict)
	case err != nil:
		return r, false, fmt.Errorf("starting %s/%s: %w", o.Module, o.Workflow, err)
	case r.Module != o.Module || r.Workflow != o.Workflow:
		return r, false, fmt.Errorf("starting %s/%s: the id %s belonged to a run of %s/%s; use another id: %w", o.Module, o.Workflow, o.ID, r.Module, r.Workflow, flawless.Conflict)
	case !gone.SameInput(o.Input):
		return r, false, fmt.Errorf("starting %s/%s: the run %s, which has been removed since, was started with another input; use another id: %w", o.Module, o.Workflow, o.ID, flawless.Conflict)
	}
	return r, false, nil
}

// Restart starts a new run on the terms of one that has ended without output: its input, labels, queue position, and as
// much time as that run had until its deadline. It uses version if set, else the version that was asked for when that run
// was started, else the newest. The same id never starts a second run; "" makes a new id.
func (e *Engine) Restart(ctx context.Context, of, id, version string) (flawless.Run, error) {
	r, err := e.Run(ctx, of)
	if err != nil {
		return r, err
	}
	if !r.Status.Ended() || r.Status == flawless.Completed {
		return r, fmt.Errorf("restarting run %s: it is %s; only a run that failed, was cancelled or terminated can be: %w", of, r.Status, flawless.Conflict)
	}
	first, err := e.begun(ctx, of)
	if err != nil {
		return r, err
	}
	o := again(*first, e.clockNow())
	o.ID, o.Of, o.Version = id, of, cmp.Or(version, o.Version)
	again, _, err := e.Start(ctx, o)
	return again, err
}

// again returns a start on the terms of an earlier one.
func again(s flawless.Start, now time.Time) Start {
	o := Start{Module: s.Module, Workflow: s.Workflow, Version: s.Version, Input: s.Input, Labels: s.Labels}
	if s.Queue != nil {
		o.Queue = *s.Queue
	}
	if at := s.DeadlineFrom(now.UnixNano()); at != 0 {
		o.Deadline, o.Grace = time.Unix(0, at), time.Duration(s.Grace)
	}
	return o
}
