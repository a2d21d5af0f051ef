package live

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/core"
	"github.com/flawless-engine/flawless/internal/residency"
	"github.com/flawless-engine/flawless/internal/store"
)

// Run is an open run in memory. Its exported methods may be called concurrently while it is acquired.
//
// Each of its parts is a struct in a file of its own, which says which lock guards its fields; mu is the lock of the
// journal.
type Run struct {
	journal // its state and log; has the lock
	driver  // takes its turns
	image   // freezes its guest
	flights // its calls in flight
	errands // calls that the engine carries out itself

	loaded  chan struct{} // closed once the run has been read from the store, or first written to it
	loadErr error         // written before that

	refs atomic.Int32   // number of owners; leaves 0 only under the lock of the Registry, or while the run is driven or written
	slot residency.Slot // guarded by the lock of Residency
}

// ID returns the id of the run.
func (r *Run) ID() string { return r.id }

// View calls f with the state of the run, which f must neither change nor keep.
func (r *Run) View(f func(s *core.State)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(r.s)
}

// Update appends the entries that f returns, and wakes the run. It returns the record that has the entries or precedes
// them; 0 without entries. They are not durable yet: see [Run.Durable].
func (r *Run) Update(f func(s *core.State, now int64) ([]flawless.Entry, error)) (seq uint64, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	entries, err := f(r.s, r.reg.o.Now())
	if err == nil && len(entries) > 0 {
		seq = r.seq
		r.append(entries...)
		r.wakeLocked()
	}
	return seq, err
}

// Change appends the entries that f returns, and returns the run when they are durable. Change returns an error of f only
// when the state that f saw is durable: a crash must not undo the reason for a refusal.
func (r *Run) Change(ctx context.Context, f func(s *core.State, now int64) ([]flawless.Entry, error)) (flawless.Run, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	entries, err := f(r.s, r.reg.o.Now())
	if err == nil && len(entries) > 0 {
		r.append(entries...)
		r.wakeLocked()
	}
	if r.s.Outcome() != "" && r.stop != nil {
		r.stop() // the guest need not continue
	}
	summary, lost := r.durable(ctx)
	if lost != nil {
		return summary, lost
	}
	return summary, err
}

// Durable waits until the current state of the run is durable, and returns it.
func (r *Run) Durable(ctx context.Context) (flawless.Run, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.durable(ctx)
}

// Answer answers an open call. It returns false if the call already has an answer, or the engine has stopped or lost the
// shard.
func (r *Run) Answer(call int, a flawless.Answer) bool {
	a.Call = call
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.s.Call(call) == nil || r.part.life.Over() {
		return false
	}
	r.append(r.s.AnswerEntry(a, "", r.reg.o.Now()))
	r.wakeLocked()
	return true
}

// Waits reports whether the run is open and its call has no answer.
func (r *Run) Waits(call int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.s.Call(call) != nil && r.s.Outcome() == ""
}

// Ended reports whether the run has ended.
func (r *Run) Ended() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.s.Outcome() != ""
}

// Inherited returns the value delivered by a lock call that a fork inherited from its origin.
func (r *Run) Inherited(lock int) (value []byte, found bool, err error) {
	r.mu.Lock()
	origin := r.s.Start().Origin
	r.mu.Unlock()
	if origin == nil {
		return nil, false, nil
	}
	for rec, err := range r.reg.o.Store.Log(r.part.life.Calls, r.id, 0) {
		if err != nil {
			return nil, false, err
		}
		for _, x := range rec.Entries { // the first record has the whole past
			if x.Arrival != nil && x.Arrival.Call == lock {
				return x.Arrival.Body, true, nil
			}
		}
		break
	}
	return nil, false, nil
}

// Summary returns the durable state of a run, or flawless.NotFound; store.ErrStale if the run is about to be created again
// because the catalog had changed. It does not wake the run.
func (g *Registry) Summary(ctx context.Context, id string) (flawless.Run, error) {
	g.mu.Lock()
	r := g.runs[id]
	if r != nil {
		r.refs.Add(1)
	}
	g.mu.Unlock()
	if r != nil {
		defer r.Release()
		select {
		case <-r.loaded:
		case <-ctx.Done():
			return flawless.Run{}, ctx.Err()
		}
		if r.loadErr == nil {
			summary, err := r.Durable(ctx)
			if errors.Is(err, store.ErrStale) || !errors.Is(err, flawless.Conflict) && !errors.Is(err, flawless.TooLarge) {
				return summary, err
			}
		}
	}
	p, err := g.read(ctx, id)
	if errors.Is(err, flawless.Damaged) && p.head.Run.ID != "" {
		if p.head.Run.Problem == "" {
			p.head.Run.Problem = err.Error()
		}
		return p.head.Run, nil
	}
	if err != nil {
		return flawless.Run{}, err
	}
	summary := p.s.Summary()
	summary.Waiting = p.s.Waiting()
	if summary.Problem = p.head.Run.Problem; summary.Problem != "" {
		summary.Status, summary.Waiting = p.head.Run.Status, nil
	}
	return summary, nil
}
