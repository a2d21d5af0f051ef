package engine

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/flawless-engine/flawless"
)

// Start asks for a run.
type Start struct {
	Module, Workflow string
	Input            json.RawMessage // nil is null
	ID               string          // "" makes a new one
}

// Start accepts a run and returns when that is durable: after its first turn, or without it where
// that takes longer. Where the id is known with the same module, workflow and input it returns that
// run and false; with others, flawless.Conflict. When ctx ends before, nobody can say whether the
// run was accepted; asking again with the same id tells.
func (e *Engine) Start(ctx context.Context, o Start) (flawless.Run, bool, error) {
	if o.ID == "" {
		o.ID = flawless.NewRunID(e.clockNow())
	} else if err := flawless.CheckID(o.ID); err != nil {
		return flawless.Run{}, false, err
	}
	if len(o.Input) == 0 {
		o.Input = json.RawMessage("null")
	}
	if err := e.accepts(); err != nil {
		return flawless.Run{}, false, err
	}
	e.choosing.RLock()
	m, l, err := e.newest(ctx, o)
	if err != nil {
		e.choosing.RUnlock()
		return flawless.Run{}, false, err
	}
	if err := l.checkInput(*m.Workflow(o.Workflow), o.Input); err != nil {
		e.choosing.RUnlock()
		return flawless.Run{}, false, fmt.Errorf("starting %s/%s: %w", o.Module, o.Workflow, err)
	}
	e.mu.Lock()
	if e.runs[o.ID] != nil || e.set[o.ID] != "" {
		e.mu.Unlock()
		e.choosing.RUnlock()
		return e.startedBefore(ctx, o)
	}
	r := e.newRun(o.ID)
	e.mu.Unlock()

	seed := make([]byte, 32)
	_, _ = rand.Read(seed) // never fails
	now := e.now()
	r.mu.Lock()
	close(r.loaded)
	r.append(flawless.Entry{At: now, Start: &flawless.Start{Module: m.Name, Digest: m.Digest, Workflow: o.Workflow,
		Input: bytes.Clone(o.Input), Seed: seed, Time: now}})
	e.choosing.RUnlock()
	r.wakeLocked()
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
	if r.resting != nil {
		e.rested.Remove(r.resting)
		r.resting = nil
	}
	r.mu.Lock()
	r.drop()
	r.mu.Unlock()
	delete(e.runs, r.id)
}

// newest returns the newest version of the module a run is to be started of.
func (e *Engine) newest(ctx context.Context, o Start) (flawless.Module, *loading, error) {
	m, err := e.names.newest(ctx, o.Module, e.store.Module)
	if err != nil {
		return flawless.Module{}, nil, err
	}
	if m.Workflow(o.Workflow) == nil {
		var names []string
		for _, w := range m.Manifest.Workflows {
			names = append(names, w.Name)
		}
		slices.Sort(names)
		return m, nil, fmt.Errorf("module %s has no workflow %q; it has %s: %w", o.Module, o.Workflow, strings.Join(names, ", "), flawless.NotFound)
	}
	l, err := e.module(ctx, m.Digest)
	return m, l, err
}

// startedBefore answers a start whose id is taken.
func (e *Engine) startedBefore(ctx context.Context, o Start) (flawless.Run, bool, error) {
	r, err := e.Run(ctx, o.ID)
	if err != nil {
		return r, false, err
	}
	var first flawless.Record
	for rec, err := range e.store.Log(ctx, o.ID, 0) {
		if err != nil {
			return r, false, err
		}
		first = rec
		break
	}
	if len(first.Entries) == 0 || first.Entries[0].Start == nil {
		return r, false, fmt.Errorf("the log of run %s does not begin with a start: %w", o.ID, flawless.Damaged)
	}
	s := first.Entries[0].Start
	switch {
	case s.Module != o.Module || s.Workflow != o.Workflow:
		return r, false, fmt.Errorf("starting %s/%s: the id %s belongs to a run of %s/%s; use another id: %w", o.Module, o.Workflow, o.ID, s.Module, s.Workflow, flawless.Conflict)
	case !sameJSON(s.Input, o.Input):
		return r, false, fmt.Errorf("starting %s/%s: the run %s was started with another input; use another id: %w", o.Module, o.Workflow, o.ID, flawless.Conflict)
	}
	return r, false, nil
}

func sameJSON(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	var x, y any
	if json.Unmarshal(a, &x) != nil || json.Unmarshal(b, &y) != nil {
		return false
	}
	p, _ := json.Marshal(x)
	q, _ := json.Marshal(y)
	return bytes.Equal(p, q)
}
