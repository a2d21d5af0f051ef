package live

import (
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/store"
)

// counts holds event counters since the Registry was created.
type counts struct {
	replayed  atomic.Int64 // guests made again from their log
	frozen    atomic.Int64 // images made
	thawed    atomic.Int64 // guests made again from an image
	fallbacks atomic.Int64 // images that were unusable

	started                                  atomic.Int64
	completed, failed, cancelled, terminated atomic.Int64 // runs that have ended

	begun, answered, notSent, unknown atomic.Int64 // attempts of calls to the outside
}

// wrote counts a durable write.
func (g *Registry) wrote(w *store.Write) {
	c := &g.counts
	if w.New {
		c.started.Add(1)
		g.Minutes.Start(time.Unix(0, g.o.Now()))
	}
	if w.After == nil || !w.After.Run.Status.Ended() || w.Before != nil && w.Before.Run.Status.Ended() {
		return
	}
	c.ended(w.After.Run.Status).Add(1)
	g.Minutes.End(time.Unix(0, g.o.Now()), w.After.Run.Status)
}

// ended returns the count of the runs that ended like this.
func (c *counts) ended(s flawless.Status) *atomic.Int64 {
	switch s {
	case flawless.Completed:
		return &c.completed
	case flawless.Failed:
		return &c.failed
	case flawless.Cancelled:
		return &c.cancelled
	}
	return &c.terminated
}

// attempted counts the outcome of an attempt.
func (c *counts) attempted(o effect.Outcome) {
	switch o {
	case effect.Answered:
		c.answered.Add(1)
	case effect.NotSent:
		c.notSent.Add(1)
	default:
		c.unknown.Add(1)
	}
}

// Counts has event counts since the Registry was created, and the current numbers of runs.
type Counts struct {
	Open, Quarantined, Retrying int // runs in memory, runs that are quarantined, runs with a call that is being retried

	Replayed, Frozen, Thawed, Fallbacks int64 // guests made from their log, images made, guests made from one, unusable images

	Started int64
	Ended   map[flawless.Status]int64

	// Attempts of calls to the outside: all, and by outcome. The others are in flight.
	Begun, Answered, NotSent, Unknown int64
}

// Counts returns the current counts.
func (g *Registry) Counts() Counts {
	c := &g.counts
	out := Counts{Retrying: g.retrying.count(), Replayed: c.replayed.Load(), Frozen: c.frozen.Load(), Thawed: c.thawed.Load(), Fallbacks: c.fallbacks.Load(),
		Started: c.started.Load(), Ended: map[flawless.Status]int64{}, Answered: c.answered.Load(), NotSent: c.notSent.Load(), Unknown: c.unknown.Load()}
	out.Begun = c.begun.Load() // after its parts, so that it is not less
	for _, s := range flawless.EndedStatuses {
		out.Ended[s] = c.ended(s).Load()
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	out.Open, out.Quarantined = len(g.runs), len(g.quarantined)
	return out
}

// retrying is the set of loaded runs with a call being retried. Soon after the start, all of them are loaded.
type retrying struct {
	mu   sync.Mutex
	runs map[string]struct{}
}

func (r *retrying) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.runs)
}

// abandon forgets runs.
func (r *retrying) abandon(gone func(id string) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.DeleteFunc(r.runs, func(id string, _ struct{}) bool { return gone(id) })
}

// note notes whether a run was and is being retried.
func (r *retrying) note(id string, before, after bool) {
	if !before && !after {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if delete(r.runs, id); after {
		if r.runs == nil {
			r.runs = map[string]struct{}{}
		}
		r.runs[id] = struct{}{}
	}
}
