package web

import (
	"cmp"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/web/chart"
)

// overview is what the first page shows. Its counts come from the statistics of the API, so the page does not take longer if
// there are more runs.
type overview struct {
	Empty      bool // nothing has ever run here
	Unresolved *flawless.UnresolvedStats
	Need       []*group // why decisions are needed
	States     []stateCount
	Ended      map[string]int64 // by status, in the last 24 hours
	EndedAll   int64
	Failing    []cause
	Old        int64 // failed runs with a reason that has not come up for a day
	Chart      chart.Chart
	Day        bool // the chart shows a day, not an hour
	Schedules  []flawless.Schedule
	Nodes      []flawless.NodeStatus
	Health     flawless.Health
}

// stateCount is one field of the row of states.
type stateCount struct {
	Status flawless.Status
	Count  int64
	Note   string
}

// cause is why runs of a module have failed.
type cause struct {
	Module string
	flawless.ReasonStats
	URL string // of these runs
}

// How many of each the overview shows.
const (
	maxCauses    = 8
	maxNeed      = 5
	maxSchedules = 6
)

func (c *console) overview(v *visit) error {
	s, err := v.stats()
	if err != nil {
		return err
	}
	now := v.now()
	o := overview{Unresolved: s.Unresolved, Day: v.r.URL.Query().Get("span") == "day", Ended: map[string]int64{}}
	for _, m := range s.Minutes {
		for status, n := range m.Ended {
			o.Ended[string(status)] += n
			o.EndedAll += n
		}
	}
	if o.Chart = chart.New(s.Minutes, now, time.Minute, 60); o.Day {
		o.Chart = chart.New(s.Minutes, now, 15*time.Minute, 96)
	}
	by := byStatus(s, "")
	o.Empty = len(by) == 0
	for _, x := range []stateCount{{flawless.Running, 0, "compute now"}, {flawless.Waiting, 0, "for answers, timers, messages"},
		{flawless.Pending, 0, "wait until they may begin"}, {flawless.Paused, 0, "until they are resumed"}} {
		x.Count = by[x.Status]
		o.States = append(o.States, x)
	}
	o.Failing, o.Old = causes(s, now)
	if o.Unresolved != nil {
		d, err := v.doubts(inboxFilter{})
		if err != nil {
			return err
		}
		o.Need = d.Groups[:min(len(d.Groups), maxNeed)]
	}
	if o.Schedules, err = v.client.Schedules(v.ctx()); err != nil {
		return err
	}
	never := now.AddDate(100, 0, 0)
	slices.SortStableFunc(o.Schedules, func(a, b flawless.Schedule) int {
		return cmp.Or(a.Next, &never).Compare(*cmp.Or(b.Next, &never))
	})
	o.Schedules = o.Schedules[:min(len(o.Schedules), maxSchedules)]
	if o.Nodes, err = v.client.Nodes(v.ctx()); err != nil {
		return err
	}
	if o.Health, err = v.client.Health(v.ctx()); err != nil {
		return err
	}
	v.show(http.StatusOK, "overview.html", &view{Title: "Overview", Here: "/", Data: o})
	return nil
}

// stats returns the counts of the server. It asks once for each page.
func (v *visit) stats() (flawless.Stats, error) {
	if v.counts == nil {
		s, err := v.client.Stats(v.ctx())
		if err != nil {
			return s, err
		}
		v.counts = &s
	}
	return *v.counts, nil
}

// byStatus returns how many runs of a module, or of all if it is "", have each status.
func byStatus(s flawless.Stats, module string) map[flawless.Status]int64 {
	by := map[flawless.Status]int64{}
	for _, m := range s.Modules {
		if module == "" || m.Module == module {
			for status, n := range m.Runs {
				by[status] += n
			}
		}
	}
	return by
}

// sum returns the number of runs with any of some statuses, or with any at all.
func sum(by map[flawless.Status]int64, of []flawless.Status) (n int64) {
	if len(of) == 0 {
		of = slices.Collect(maps.Keys(by))
	}
	for _, status := range slices.Compact(slices.Sorted(slices.Values(of))) {
		n += by[status]
	}
	return n
}

// causes returns why runs have failed in the last day, the most frequent reason first, and how many runs failed for others.
func causes(s flawless.Stats, now time.Time) (recent []cause, old int64) {
	for _, m := range s.Modules {
		for _, r := range m.Reasons {
			switch {
			case r.Status != flawless.Failed:
			case now.Sub(r.Last) > 24*time.Hour:
				old += r.Runs
			default:
				q := url.Values{"status": {string(flawless.Failed)}, "module": {m.Module}}
				if text := telling(r.Reason); text != "" {
					q.Set("text", text)
				}
				recent = append(recent, cause{m.Module, r, "/runs?" + q.Encode()})
			}
		}
	}
	slices.SortStableFunc(recent, func(a, b cause) int { return cmp.Compare(b.Runs, a.Runs) })
	for _, c := range recent[min(len(recent), maxCauses):] {
		old += c.Runs
	}
	return recent[:min(len(recent), maxCauses)], old
}

// telling returns the part of a reason that finds its runs: the longest one between the Ns that stand for numbers, without
// the kind of the failure, which is no part of its message.
func telling(reason string) (longest string) {
	_, text, found := strings.Cut(reason, ": ")
	if !found {
		return "" // of many reasons
	}
	for part := range strings.SplitSeq(text, "N") {
		if part = strings.TrimSpace(part); len(part) > len(longest) {
			longest = part
		}
	}
	return longest
}
