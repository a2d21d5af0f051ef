package engine

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/flawless-engine/flawless"
	counts "github.com/flawless-engine/flawless/internal/store/tally"
)

// keepEvery is how often a server writes its counts by minute.
const keepEvery = 10 * time.Second

// Stats returns counts of all runs of the store. It does not walk them.
func (e *Engine) Stats(ctx context.Context) (flawless.Stats, error) {
	s := flawless.Stats{Modules: []flawless.ModuleStats{}, Minutes: []flawless.MinuteStats{}}
	rows, err := e.store.Counts(ctx)
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
		if s.Unresolved, err = e.oldestUnresolved(ctx); err != nil {
			return s, err
		}
		s.Unresolved.Runs = unresolved
	}
	s.Minutes, err = e.minutes(ctx)
	return s, err
}

// reasonsOf returns the reasons of a module, the most frequent first.
func reasonsOf(row *counts.Row) (all []flawless.ReasonStats) {
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
		if sum.Status, sum.Reason, sum.Runs = x.Status, counts.Other, sum.Runs+x.Runs; !has || x.Since.Before(sum.Since) {
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
	if x.Reason == counts.Other {
		return 1
	}
	return 0
}

// oldestUnresolved finds the run that has needed a person for longest.
func (e *Engine) oldestUnresolved(ctx context.Context) (*flawless.UnresolvedStats, error) {
	page, next, err := e.store.Runs(ctx, flawless.Filter{Status: []flawless.Status{flawless.Unresolved}, Limit: 1000})
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
func (e *Engine) minutes(ctx context.Context) ([]flawless.MinuteStats, error) {
	rows, err := e.store.Minutes(ctx)
	if err != nil {
		return nil, err
	}
	var sum counts.Clock
	sum.Restore(e.runs.Minutes.Minutes(""))
	for _, m := range rows {
		if m.Server != e.minutesName() {
			sum.Restore(m)
		}
	}
	first := counts.MinuteOf(e.clockNow()) - counts.Day
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

// minutesName names the row of this server.
func (e *Engine) minutesName() string { return cmp.Or(e.lease.Owner(), "server") }

// keepMinutes writes the counts by minute soon after they have changed, until the engine stops.
func (e *Engine) keepMinutes() {
	gone := e.restoreMinutes()
	for over := false; !over; {
		select {
		case <-e.life.Turns.Done():
			return
		case <-e.runs.Minutes.Changed:
		}
		select {
		case <-e.life.Turns.Done():
			over = true
		case <-time.After(keepEvery):
		}
		if e.life.Over() {
			return
		}
		m := e.runs.Minutes.Minutes(e.minutesName())
		if err := e.store.PutMinutes(context.WithoutCancel(e.life.Turns), e.lease, m, gone); err == nil {
			gone = nil
		} // else the next write has these counts, too
	}
}

// restoreMinutes takes in what this server counted before it was restarted, and returns the names of rows that are too old.
func (e *Engine) restoreMinutes() (gone []string) {
	rows, err := e.store.Minutes(e.life.Turns)
	if err != nil {
		e.log.Warn("reading the counts by minute failed", "error", err)
	}
	for _, m := range rows {
		switch {
		case m.Server == e.minutesName():
			e.runs.Minutes.Restore(m)
		case m.Old(e.clockNow()):
			gone = append(gone, m.Server)
		}
	}
	return gone
}
