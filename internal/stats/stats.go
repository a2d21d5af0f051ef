// Package stats counts the runs of a store for people: now, from rows that change with the runs, and by minute over the last
// day, from what servers have counted.
//
// It walks no runs. Counts by minute are written soon after they have changed; a server that crashes loses those of a few
// seconds, and nothing else.
package stats

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/lifecycle"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/tally"
)

// keepEvery is how often a server writes its counts by minute.
const keepEvery = 10 * time.Second

// Counts is what a server knows and has read. Its fields are set before use.
type Counts struct {
	Store   *store.Store
	Lease   *store.Lease
	Minutes *tally.Clock // what happens on this server
	Life    *lifecycle.Lifecycle
	Now     func() time.Time
	Log     *slog.Logger
}

// Read returns counts of all runs of the store.
func (c *Counts) Read(ctx context.Context) (flawless.Stats, error) {
	s := flawless.Stats{Modules: []flawless.ModuleStats{}, Minutes: []flawless.MinuteStats{}}
	rows, err := c.Store.Counts(ctx)
	if err != nil {
		return s, err
	}
	unresolved := int64(0)
	for _, module := range slices.Sorted(maps.Keys(rows)) {
		m := flawless.ModuleStats{Module: module, Runs: map[flawless.Status]int64{}, Reasons: reasonsOf(rows[module])}
		for i, n := range rows[module].Runs {
			if n > 0 {
				m.Runs[flawless.Statuses[i]] = n
			}
		}
		if unresolved += m.Runs[flawless.Unresolved]; len(m.Runs) > 0 {
			s.Modules = append(s.Modules, m)
		}
	}
	if unresolved > 0 {
		if s.Unresolved, err = c.oldestUnresolved(ctx); err != nil {
			return s, err
		}
		s.Unresolved.Runs = unresolved
	}
	s.Minutes, err = c.minutes(ctx)
	return s, err
}

// reasonsOf returns the reasons of a module, the most frequent first.
func reasonsOf(row *tally.Row) (all []flawless.ReasonStats) {
	for name, x := range row.Reasons {
		if x.Runs <= 0 {
			continue
		}
		status, reason, _ := strings.Cut(name, " ")
		all = append(all, flawless.ReasonStats{Status: flawless.Status(status), Reason: reason, Runs: x.Runs, Since: time.Unix(0, x.First), Last: time.Unix(0, x.Last)})
	}
	slices.SortFunc(all, func(a, b flawless.ReasonStats) int {
		return cmp.Or(cmp.Compare(isOther(a), isOther(b)), -cmp.Compare(a.Runs, b.Runs), cmp.Compare(a.Reason, b.Reason), cmp.Compare(a.Status, b.Status))
	})
	if len(all) <= flawless.MaxReasons {
		return all
	}
	rest := map[flawless.Status]flawless.ReasonStats{}
	for _, x := range all[flawless.MaxReasons:] {
		sum, has := rest[x.Status]
		if sum.Status, sum.Reason, sum.Runs = x.Status, tally.Other, sum.Runs+x.Runs; !has || x.Since.Before(sum.Since) {
			sum.Since = x.Since
		}
		if x.Last.After(sum.Last) {
			sum.Last = x.Last
		}
		rest[x.Status] = sum
	}
	all = all[:flawless.MaxReasons]
	for _, status := range slices.Sorted(maps.Keys(rest)) {
		all = append(all, rest[status])
	}
	return all
}

func isOther(x flawless.ReasonStats) int {
	if x.Reason == tally.Other {
		return 1
	}
	return 0
}

// oldestUnresolved finds the run that has needed a person for longest.
func (c *Counts) oldestUnresolved(ctx context.Context) (*flawless.UnresolvedStats, error) {
	page, next, err := c.Store.Runs(ctx, flawless.Filter{Status: []flawless.Status{flawless.Unresolved}, Limit: 1000})
	s := &flawless.UnresolvedStats{More: next != ""}
	for _, r := range page {
		for _, d := range r.Unresolved {
			if s.Since.IsZero() || d.Since.Before(s.Since) {
				s.Oldest, s.Since = r.ID, d.Since
			}
		}
	}
	return s, err
}

// minutes returns what all servers have counted by minute in the last day.
func (c *Counts) minutes(ctx context.Context) ([]flawless.MinuteStats, error) {
	rows, err := c.Store.Minutes(ctx)
	if err != nil {
		return nil, err
	}
	var sum tally.Clock
	sum.Restore(c.Minutes.Minutes(""))
	for _, m := range rows {
		if m.Server != c.name() {
			sum.Restore(m)
		}
	}
	first := tally.MinuteOf(c.Now()) - tally.Day
	all := []flawless.MinuteStats{}
	for _, x := range sum.Minutes("").Counts {
		if x.At <= first {
			continue
		}
		m := flawless.MinuteStats{Minute: time.Unix(60*x.At, 0).UTC(), Started: x.Started, Ended: map[flawless.Status]int64{}}
		for i, n := range x.Ended {
			if n > 0 {
				m.Ended[flawless.EndedStatuses[i]] = n
			}
		}
		all = append(all, m)
	}
	return all, nil
}

// name names the row of this server.
func (c *Counts) name() string { return cmp.Or(c.Lease.Owner(), "server") }

// Keep writes the counts by minute soon after they have changed, until the engine stops.
func (c *Counts) Keep() {
	gone := c.restore()
	for over := false; !over; {
		select {
		case <-c.Life.Turns.Done():
			select { // both may be so
			case <-c.Minutes.Changed:
			default:
				return
			}
		case <-c.Minutes.Changed:
		}
		select {
		case <-c.Life.Turns.Done():
			over = true
		case <-time.After(keepEvery):
		}
		if c.Life.Over() {
			return
		}
		m := c.Minutes.Minutes(c.name())
		if err := c.Store.PutMinutes(context.WithoutCancel(c.Life.Turns), c.Lease, m, gone); err == nil {
			gone = nil
		} // else the next write has these counts, too
	}
}

// restore takes in what this server counted before it was restarted, and returns the names of rows that are too old.
func (c *Counts) restore() (gone []string) {
	rows, err := c.Store.Minutes(c.Life.Turns)
	if err != nil {
		c.Log.Warn("reading the counts by minute failed", "error", err)
	}
	for _, m := range rows {
		switch {
		case m.Server == c.name():
			c.Minutes.Restore(m)
		case m.Old(c.Now()):
			gone = append(gone, m.Server)
		}
	}
	return gone
}
