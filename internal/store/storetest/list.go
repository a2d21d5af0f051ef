package storetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
)

func ids(runs []flawless.Run) (got []string) {
	for _, r := range runs {
		got = append(got, r.ID)
	}
	return got
}

// pages returns all runs of a filter, and the number of pages.
func pages(t *testing.T, s *store.Store, f flawless.Filter) (got []string, n int) {
	t.Helper()
	for {
		runs, next, err := s.Runs(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, ids(runs)...)
		n++
		if next == "" {
			return got, n
		}
		f.Cursor = next
	}
}

func testLists(t *testing.T, open func(t *testing.T) store.KV) {
	s, l := claimed(t, open)
	add := func(id string, n int, status flawless.Status, module, workflow string) {
		h := head(id, n)
		write(t, s, l, store.Write{ID: id, New: true, After: &h})
		after := h
		after.Run.Status, after.Run.Module, after.Run.Workflow = status, module, workflow
		write(t, s, l, store.Write{ID: id, Before: &h, After: &after})
	}
	add("a", 1, flawless.Waiting, "m", "w")
	add("b", 2, flawless.Completed, "m", "v")
	add("c", 2, flawless.Waiting, "mm", "w")
	add("e", 3, flawless.Failed, "m", "w")
	add("d", 4, flawless.Running, "mm", "v")

	at := func(n int) time.Time { return start.Add(time.Duration(n) * time.Second) }
	for _, c := range []struct {
		name string
		f    flawless.Filter
		want []string
	}{
		{"all, newest first, then by id", flawless.Filter{}, []string{"d", "e", "c", "b", "a"}},
		{"one status", flawless.Filter{Status: []flawless.Status{flawless.Waiting}}, []string{"c", "a"}},
		{"a status they left", flawless.Filter{Status: []flawless.Status{flawless.Pending}}, nil},
		{"two statuses, one of them twice", flawless.Filter{Status: []flawless.Status{flawless.Waiting, flawless.Failed, flawless.Waiting}}, []string{"e", "c", "a"}},
		{"a module", flawless.Filter{Module: "m"}, []string{"e", "b", "a"}},
		{"a workflow", flawless.Filter{Workflow: "w"}, []string{"e", "c", "a"}},
		{"since a moment, inclusive", flawless.Filter{Since: at(2)}, []string{"d", "e", "c", "b"}},
		{"since long ago", flawless.Filter{Since: time.Date(1, 1, 2, 0, 0, 0, 0, time.UTC)}, []string{"d", "e", "c", "b", "a"}},
		{"since far in the future", flawless.Filter{Since: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)}, nil},
		{"module and open status", flawless.Filter{Module: "m", Status: []flawless.Status{flawless.Waiting}}, []string{"a"}},
		{"module and ended status", flawless.Filter{Module: "m", Status: []flawless.Status{flawless.Failed, flawless.Completed}}, []string{"e", "b"}},
		{"everything at once", flawless.Filter{Module: "m", Workflow: "w", Since: at(2), Status: []flawless.Status{flawless.Failed, flawless.Waiting}}, []string{"e"}},
	} {
		for _, limit := range []int{0, 1, 2} {
			c.f.Limit = limit
			got, n := pages(t, s, c.f)
			same(t, fmt.Sprintf("%s, %d on a page", c.name, limit), c.want, got)
			if limit > 0 {
				same(t, "pages of "+c.name, max(1, (len(c.want)+limit-1)/limit), n)
			}
		}
	}
	for _, f := range []flawless.Filter{
		{Cursor: "?"},
		{Cursor: "AAAA"},
		{Limit: -1},
		{Limit: 1001},
		{Status: []flawless.Status{"asleep"}},
	} {
		_, _, err := s.Runs(t.Context(), f)
		code(t, fmt.Sprintf("%+v", f), err, flawless.Invalid)
	}
}

func testPages(t *testing.T, open func(t *testing.T) store.KV) {
	s, l := claimed(t, open)
	const n = 10_000
	todo := make(chan int)
	done := make(chan struct{})
	for range 64 { // writers share syncs
		go func() {
			defer func() { done <- struct{}{} }()
			for i := range todo {
				h := head(fmt.Sprintf("run-%05d", i), i/10)
				if i%100 == 0 {
					h.Run.Status = flawless.Failed
				}
				if err := s.Write(t.Context(), l, store.Write{ID: h.Run.ID, New: true, After: &h, Entries: entries(0)}); err != nil {
					t.Error(err)
				}
			}
		}()
	}
	var want, failed []string
	for i := range n {
		want = append(want, fmt.Sprintf("run-%05d", i))
		if i%100 == 0 {
			failed = append(failed, want[i])
		}
		todo <- i
	}
	close(todo)
	for range 64 {
		<-done
	}
	slices.Reverse(want)
	slices.Reverse(failed)
	got, count := pages(t, s, flawless.Filter{Limit: 1000})
	same(t, "10,000 runs", want, got)
	same(t, "pages", 10, count)
	got, _ = pages(t, s, flawless.Filter{Limit: 7, Status: []flawless.Status{flawless.Failed}})
	same(t, "failed runs", failed, got)
}

func testActive(t *testing.T, open func(t *testing.T) store.KV) {
	s, l := claimed(t, open)
	heads := map[string]store.Head{}
	for _, id := range []string{"c", "a", "b"} {
		h := head(id, 0)
		h.Active = id != "b"
		write(t, s, l, store.Write{ID: id, New: true, After: &h})
		heads[id] = h
	}
	active := func() (got []string) {
		for id, err := range s.Active(t.Context(), store.AllShards()) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, id)
		}
		slices.Sort(got) // they are in the order of their shards
		return got
	}
	same(t, "active runs", []string{"a", "c"}, active())
	for id, is := range map[string]bool{"a": false, "b": true, "c": true} {
		before, after := heads[id], heads[id]
		after.Active = is
		write(t, s, l, store.Write{ID: id, Before: &before, After: &after})
	}
	same(t, "active runs after a change", []string{"b", "c"}, active())
}

func testTimers(t *testing.T, open func(t *testing.T) store.KV) {
	s, l := claimed(t, open)
	heads := map[string]store.Head{}
	for id, wake := range map[string]int64{"a": 30, "b": 10, "c": 20, "d": 0, "e": 10, "past": -5} {
		h := head(id, 0)
		h.Wake = wake
		write(t, s, l, store.Write{ID: id, New: true, After: &h})
		heads[id] = h
	}
	timers := func(from, until int64) (got []string) {
		for tm, err := range s.Timers(t.Context(), from, until, store.AllShards()) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, fmt.Sprintf("%s@%d", tm.ID, tm.Wake))
		}
		return got
	}
	same(t, "all timers", []string{"past@-5", "b@10", "e@10", "c@20", "a@30"}, timers(-1<<63, 1<<62))
	same(t, "from inclusive until exclusive", []string{"b@10", "e@10", "c@20"}, timers(10, 30))
	same(t, "no time at all", 0, len(timers(30, 10)))
	for id, wake := range map[string]int64{"a": 0, "b": 10, "c": 5} {
		before, after := heads[id], heads[id]
		after.Wake = wake
		write(t, s, l, store.Write{ID: id, Before: &before, After: &after})
	}
	same(t, "timers after a change", []string{"c@5", "b@10", "e@10"}, timers(0, 1<<62))
}
