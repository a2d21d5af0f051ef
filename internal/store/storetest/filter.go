package storetest

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
)

// testFilters compares lists with a search through all runs, for random runs and filters.
func testFilters(t *testing.T, open func(t *testing.T) store.KV) {
	s, l := claimed(t, open)
	r := rand.New(rand.NewPCG(1, 2))
	one := func(of ...string) string { return of[r.IntN(len(of))] }
	labels := func() map[string]string {
		m := map[string]string{}
		for range r.IntN(3) {
			m[one("a", "b", "c/d")] = one("1", "2", "long value")
		}
		return m
	}
	status := func() flawless.Status { return flawless.Statuses[r.IntN(len(flawless.Statuses))] }
	var all []flawless.Run
	for i := range 200 {
		h := head(fmt.Sprintf("run-%03d", i), i/3)
		h.Run.Module, h.Run.Workflow = one("m", "mm", "n"), one("w", "ww")
		h.Run.Parent, h.Run.Labels, h.Run.Status = one("", "", "p", "q"), labels(), status()
		write(t, s, l, store.Write{ID: h.Run.ID, New: true, After: &h})
		for range r.IntN(3) {
			after := h
			after.Run.Status = status()
			if r.IntN(2) == 0 {
				after.Run.Labels = labels()
			}
			write(t, s, l, store.Write{ID: h.Run.ID, Before: &h, After: &after})
			h = after
		}
		all = append(all, h.Run)
	}
	at := func(n int) time.Time { return start.Add(time.Duration(n) * time.Second) }
	for range 300 {
		f := flawless.Filter{Module: one("", "m", "mm", "none"), Workflow: one("", "", "w", "none"), Parent: one("", "", "p", "none"), Limit: 1 + r.IntN(20)}
		for range r.IntN(3) {
			f.Status = append(f.Status, status())
		}
		if r.IntN(2) == 0 {
			f.Labels = labels()
		}
		if r.IntN(3) == 0 {
			f.Since = at(r.IntN(70))
		}
		if r.IntN(3) == 0 {
			f.Until = at(r.IntN(70))
		}
		var want []string
		for _, run := range slices.Backward(all) {
			if wanted(f, run) {
				want = append(want, run.ID)
			}
		}
		got, n := pages(t, s, f)
		same(t, fmt.Sprintf("%+v", f), want, got)
		same(t, fmt.Sprintf("pages of %+v", f), max(1, (len(want)+f.Limit-1)/f.Limit), n)
	}
}

func wanted(f flawless.Filter, r flawless.Run) bool {
	with := maps.Clone(r.Labels)
	maps.Copy(with, f.Labels)
	return (f.Module == "" || f.Module == r.Module) && (f.Workflow == "" || f.Workflow == r.Workflow) && (f.Parent == "" || f.Parent == r.Parent) &&
		(len(f.Status) == 0 || slices.Contains(f.Status, r.Status)) && maps.Equal(with, r.Labels) &&
		!r.Created.Before(f.Since) && (f.Until.IsZero() || r.Created.Before(f.Until))
}

// testMuchWork checks that a filter which must examine thousands of runs returns pages, and that no run is missing.
func testMuchWork(t *testing.T, open func(t *testing.T) store.KV) {
	s, l := claimed(t, open)
	const n = 2500
	for i := range n {
		h := head(fmt.Sprintf("run-%04d", i), i)
		h.Run.Labels = map[string]string{"all": "yes"}
		h.Run.Module, h.Run.Parent = fmt.Sprint("m", i%2), "all"
		if i == 3 {
			h.Run.Parent = "p"
		}
		if i%2 == 1 {
			h.Run.Labels["odd"] = "yes"
		}
		h.Run.Labels["half"] = fmt.Sprint(i / (n / 2))
		write(t, s, l, store.Write{ID: h.Run.ID, New: true, After: &h})
	}
	f := flawless.Filter{Labels: map[string]string{"all": "yes", "half": "0"}, Module: "m1", Limit: 10}
	got, _ := pages(t, s, f)
	same(t, "runs", n/4, len(got))
	f.Labels["half"], f.Parent = "1", "p"
	got, _ = pages(t, s, f)
	same(t, "runs that there are none of", 0, len(got))
	got, count := pages(t, s, flawless.Filter{Labels: map[string]string{"odd": "yes"}, Module: "m0", Limit: 10})
	same(t, "runs of which only halves are there", 0, len(got))
	same(t, "pages", 1, count)
	got, count = pages(t, s, flawless.Filter{Parent: "all", Status: []flawless.Status{flawless.Failed}})
	same(t, "runs in a list that knows no status", 0, len(got))
	same(t, "pages with not one of them", 5, count)
	for _, bad := range []map[string]string{{"a b": "1"}, {"a": ""}, {"": "x"}, {"a": "\n"}} {
		_, _, err := s.Runs(t.Context(), flawless.Filter{Labels: bad})
		code(t, fmt.Sprint(bad), err, flawless.Invalid)
	}
}
