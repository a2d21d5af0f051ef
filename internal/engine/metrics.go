package engine

import (
	"context"
	"sync/atomic"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/store"
)

// totals counts what happened to runs and calls since the engine was opened.
type totals struct {
	started                            atomic.Int64
	completed, failed, cancelled, over atomic.Int64 // runs that have ended

	begun, answered, notSent, unknown atomic.Int64 // tries of calls to the outside
}

// wrote counts what a durable write has done to a run.
func (t *totals) wrote(w *store.Write) {
	if w.New {
		t.started.Add(1)
	}
	if w.After == nil || !w.After.Run.Status.Ended() || w.Before != nil && w.Before.Run.Status.Ended() {
		return
	}
	t.end(w.After.Run.Status).Add(1)
}

// end is the count of an end.
func (t *totals) end(s flawless.Status) *atomic.Int64 {
	switch s {
	case flawless.Completed:
		return &t.completed
	case flawless.Failed:
		return &t.failed
	case flawless.Cancelled:
		return &t.cancelled
	}
	return &t.over
}

// tried counts the outcome of a try.
func (t *totals) tried(o effect.Outcome) {
	switch o {
	case effect.Answered:
		t.answered.Add(1)
	case effect.NotSent:
		t.notSent.Add(1)
	default:
		t.unknown.Add(1)
	}
}

// Metrics are numbers for those who watch over a server. Counts are since it came up.
type Metrics struct {
	Started int64
	Ended   map[flawless.Status]int64

	// Of open runs: those that wait for a person to decide about a call, and those that cannot go on, see
	// their problem. They are -1 where the store cannot be read.
	Unresolved, Quarantined int

	// Tries of calls to the outside: all, and by outcome. The others are under way.
	Begun, Answered, NotSent, Unknown int64

	Slots int // guests that there is room for at present

	Schedules []flawless.Schedule // their counts are since they were created
}

// Metrics returns the numbers of now. It reads the runs that are unresolved.
func (e *Engine) Metrics(ctx context.Context) (m Metrics, err error) {
	t := &e.outcomes
	m = Metrics{Started: t.started.Load(), Ended: map[flawless.Status]int64{},
		Answered: t.answered.Load(), NotSent: t.notSent.Load(), Unknown: t.unknown.Load()}
	m.Begun = t.begun.Load() // behind its parts, so that it is not less
	for _, s := range flawless.EndedStatuses {
		m.Ended[s] = t.end(s).Load()
	}
	_, _, m.Slots = e.residency.Slots()
	m.Unresolved, m.Quarantined = -1, -1
	if err := e.Gone(); err != nil {
		return m, err
	}
	unresolved := 0
	e.mu.Lock()
	aside := make(map[string]bool, len(e.set))
	for id := range e.set { // also those whose head cannot be read or written
		aside[id] = true
	}
	e.mu.Unlock()
	for f, more := (flawless.Filter{Status: []flawless.Status{flawless.Unresolved}, Limit: 1000}), true; more; {
		page, next, err := e.store.Runs(ctx, f)
		if err != nil {
			return m, err
		}
		for _, r := range page {
			switch {
			case r.Problem != "":
				aside[r.ID] = true
			case !aside[r.ID]:
				unresolved++
			}
		}
		f.Cursor, more = next, next != ""
	}
	m.Unresolved, m.Quarantined = unresolved, len(aside)
	m.Schedules, err = e.Schedules(ctx)
	return m, err
}
