package web

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/flawless-engine/flawless"
)

// maxCount is up to where runs are counted: the API has no totals, so they are counted in lists.
const maxCount = 500

// figure is a number of runs.
type figure struct {
	N    int
	More bool // there are more
}

// String returns it with separators, and a + if there are more.
func (f figure) String() string {
	if f.More {
		return number(f.N) + "+"
	}
	return number(f.N)
}

// sample returns up to maxCount runs that match a filter, newest first. Everything that the console counts comes from here.
func (v *visit) sample(f flawless.Filter) (runs []flawless.Run, more bool, err error) {
	f.Limit = maxCount
	for len(runs) < maxCount {
		page, next, err := v.client.Runs(v.ctx(), f)
		if err != nil {
			return nil, false, err
		}
		runs = append(runs, page...)
		if f.Cursor = next; next == "" {
			return runs, false, nil
		}
	}
	return runs, true, nil
}

// count returns the number of runs that match a filter, up to maxCount.
func (v *visit) count(f flawless.Filter) (figure, error) {
	runs, more, err := v.sample(f)
	return figure{len(runs), more}, err
}

// group has runs with the same cause.
type group struct {
	Request, Reason, Module string
	Runs                    []flawless.Run
	Oldest, Newest          time.Time
}

// groups puts runs with the same cause together, the largest group first. cause fills in what they have in common, and
// returns since when a run has it.
func groups(runs []flawless.Run, cause func(flawless.Run) (group, time.Time)) []*group {
	by := map[string]*group{}
	var all []*group
	for _, r := range runs {
		g, at := cause(r)
		key := fmt.Sprintf("%q %q %q", g.Request, g.Reason, g.Module)
		if by[key] == nil {
			g.Oldest, g.Newest = at, at
			by[key] = &g
			all = append(all, &g)
		}
		have := by[key]
		have.Runs = append(have.Runs, r)
		if at.Before(have.Oldest) {
			have.Oldest = at
		}
		if at.After(have.Newest) {
			have.Newest = at
		}
	}
	slices.SortStableFunc(all, func(a, b *group) int { return cmp.Compare(len(b.Runs), len(a.Runs)) })
	return all
}

// doubtful returns the groups of runs that need a decision, by request and reason.
func doubtful(runs []flawless.Run) []*group {
	return groups(slices.DeleteFunc(slices.Clone(runs), func(r flawless.Run) bool { return len(r.Unresolved) == 0 }), func(r flawless.Run) (group, time.Time) {
		d := r.Unresolved[0]
		return group{Request: bareURL(d.Request), Reason: d.Reason, Module: r.Module}, d.Since
	})
}

// failing returns the groups of failed runs, by module and reason.
func failing(runs []flawless.Run) []*group {
	return groups(runs, func(r flawless.Run) (group, time.Time) {
		reason, at := "", r.Created
		if r.Failure != nil {
			reason = cmp.Or(r.Failure.Message, r.Failure.Kind)
		}
		if r.Ended != nil {
			at = *r.Ended
		}
		return group{Reason: shorten(200, reason), Module: r.Module}, at
	})
}

func statusName(s any) string { return fmt.Sprint(s) }

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
