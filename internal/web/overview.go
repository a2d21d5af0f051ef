package web

import (
	"cmp"
	"net/http"
	"slices"
	"time"

	"github.com/flawless-engine/flawless"
)

// stateCount is one field of the row of states.
type stateCount struct {
	Status flawless.Status
	Count  figure
	Note   string
}

// overviewData says since when something is wrong, and because of what.
func (v *visit) overviewData() (map[string]any, error) {
	ctx, d := v.ctx(), map[string]any{}
	doubts, more, err := v.sample(flawless.Filter{Status: []flawless.Status{flawless.Unresolved}})
	if err != nil {
		return nil, err
	}
	list := doubtful(doubts)
	d["Doubts"], d["DoubtCount"] = list[:min(len(list), 5)], figure{len(doubts), more}
	if len(list) > 0 {
		d["Oldest"] = slices.MinFunc(list, func(a, b *group) int { return a.Oldest.Compare(b.Oldest) }).Oldest
	}
	var states []stateCount
	total := len(doubts)
	for _, s := range []stateCount{{flawless.Running, figure{}, "compute now"}, {flawless.Waiting, figure{}, "for answers, timers, messages"},
		{flawless.Pending, figure{}, "wait for a place"}, {flawless.Paused, figure{}, "held by a person"}, {flawless.Completed, figure{}, "in the last 24 h"}} {
		f := flawless.Filter{Status: []flawless.Status{s.Status}}
		if s.Status == flawless.Completed {
			f.Since = v.now().Add(-24 * time.Hour)
		}
		if s.Count, err = v.count(f); err != nil {
			return nil, err
		}
		total += s.Count.N
		states = append(states, s)
	}
	d["States"] = states
	failed, more, err := v.sample(flawless.Filter{Status: []flawless.Status{flawless.Failed}, Since: v.now().Add(-24 * time.Hour)})
	if err != nil {
		return nil, err
	}
	causes := failing(failed)
	d["Failing"], d["FailedCount"], d["OtherCauses"] = causes[:min(len(causes), 8)], figure{len(failed), more}, max(0, len(causes)-8)
	if total+len(failed) == 0 {
		any, _, err := v.client.Runs(ctx, flawless.Filter{Limit: 1})
		if err != nil {
			return nil, err
		}
		modules, err := v.client.Modules(ctx)
		if err != nil {
			return nil, err
		}
		d["Empty"], d["Modules"] = len(any) == 0, len(modules)
	}
	schedules, err := v.client.Schedules(ctx)
	if err != nil {
		return nil, err
	}
	next := func(s flawless.Schedule) int64 {
		if s.Next == nil {
			return 1 << 62
		}
		return s.Next.Unix()
	}
	slices.SortStableFunc(schedules, func(a, b flawless.Schedule) int { return cmp.Compare(next(a), next(b)) })
	d["Schedules"] = schedules[:min(len(schedules), 6)]
	if d["Nodes"], err = v.client.Nodes(ctx); err != nil {
		return nil, err
	}
	if d["Health"], err = v.client.Health(ctx); err != nil {
		return nil, err
	}
	return d, nil
}

func (c *console) overview(v *visit) error {
	d, err := v.overviewData()
	if err != nil {
		return err
	}
	v.show(http.StatusOK, "overview.html", &view{Title: "Overview", Here: "/", Data: d})
	return nil
}
