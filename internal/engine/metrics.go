package engine

import (
	"context"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/stats"
	"github.com/flawless-engine/flawless/internal/view"
)

// Metrics are numbers about a server, for monitoring. Counts are since it came up.
type Metrics struct {
	Started int64
	Ended   map[flawless.Status]int64

	// Open runs that wait for a person to decide about a call, and those that cannot continue, see their problem. Both are
	// -1 if the store cannot be read.
	Unresolved, Quarantined int

	// Attempts of calls to the outside: all, and by outcome. The rest is under way.
	Begun, Answered, NotSent, Unknown int64

	Slots int // current number of residency slots

	Schedules []flawless.Schedule // their counts are since they were created
}

// Metrics returns the current numbers. It reads the unresolved runs from the store.
func (e *Engine) Metrics(ctx context.Context) (m Metrics, err error) {
	c := e.runs.Counts()
	m = Metrics{Started: c.Started, Ended: c.Ended, Begun: c.Begun, Answered: c.Answered, NotSent: c.NotSent, Unknown: c.Unknown}
	_, _, m.Slots = e.residency.Slots()
	m.Unresolved, m.Quarantined = -1, -1
	if err := e.Gone(); err != nil {
		return m, err
	}
	unresolved := 0
	quarantined := e.runs.Quarantined()
	for f, more := (flawless.Filter{Status: []flawless.Status{flawless.Unresolved}, Limit: 1000}), true; more; {
		page, next, err := e.store.Runs(ctx, f)
		if err != nil {
			return m, err
		}
		for _, r := range page {
			switch {
			case r.Problem != "":
				quarantined[r.ID] = true
			case !quarantined[r.ID]:
				unresolved++
			}
		}
		f.Cursor, more = next, next != ""
	}
	m.Unresolved, m.Quarantined = unresolved, len(quarantined)
	m.Schedules = e.schedules.List(nil)
	return m, nil
}

// Stats returns counts of all runs of the store, see [stats.Counts].
func (e *Engine) Stats(ctx context.Context) (flawless.Stats, error) { return e.counts.Read(ctx) }

func (e *Engine) newCounts() *stats.Counts {
	return &stats.Counts{Store: e.store, Lease: e.lease, Minutes: &e.runs.Minutes, Life: e.life, Now: e.clockNow, Log: e.log}
}

// Views returns the saved views.
func (e *Engine) Views() *view.Views {
	return &view.Views{Store: e.store, Lease: e.lease, Refused: elsewhere}
}
