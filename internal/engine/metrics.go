package engine

import (
	"context"

	"github.com/flawless-engine/flawless"
)

// Metrics are numbers about a server, for monitoring. Counts are since it came up.
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
	m.Schedules, err = e.Schedules(ctx)
	return m, err
}
