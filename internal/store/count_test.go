package store_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/key"
	"github.com/flawless-engine/flawless/internal/store/mem"
	"github.com/flawless-engine/flawless/internal/store/tally"
)

// walked counts the runs one by one, and compares that with the rows of counts.
func walked(t *testing.T, s *store.Store) map[string]*tally.Row {
	t.Helper()
	want := map[string]int64{}
	for f := (flawless.Filter{Limit: 1000}); ; {
		page, next, err := s.Runs(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page {
			h, err := s.Head(t.Context(), r.ID)
			if err != nil {
				t.Fatal(err)
			}
			want[h.Run.Module+" "+string(h.Run.Status)]++
			if h.Reason != "" {
				want[h.Run.Module+" "+string(h.Run.Status)+" "+h.Reason]++
			}
		}
		if f.Cursor = next; next == "" {
			break
		}
	}
	rows, err := s.Counts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int64{}
	for module, row := range rows {
		for i, n := range row.Runs {
			if n != 0 {
				got[module+" "+string(flawless.Statuses[i])] = n
			}
		}
		for name, x := range row.Reasons {
			if x.Runs != 0 {
				got[module+" "+name] = x.Runs
			}
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the counts are\n%v\nand the runs\n%v", got, want)
	}
	return rows
}

// TestCountsFollowConcurrentWrites: writes of the same module in the same shards at once, some of which fail, and removals
// leave counts as if the runs had been counted one by one. So does another owner of the shards, and a rebuild of the indexes.
func TestCountsFollowConcurrentWrites(t *testing.T) {
	t.Parallel()
	kv := &holed{KV: mem.New()}
	s, err := store.Open(t.Context(), kv)
	if err != nil {
		t.Fatal(err)
	}
	lease, err := s.Claim(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	live := func(s *store.Store, l *store.Lease, id string) {
		head := store.Head{Run: flawless.Run{ID: id, Module: "m", Workflow: "w", Status: flawless.Pending, Created: time.Now()}}
		before := (*store.Head)(nil)
		for _, status := range []flawless.Status{flawless.Pending, flawless.Waiting, flawless.Waiting, flawless.Unresolved, flawless.Failed} {
			after := head
			if after.Run.Status = status; status == flawless.Unresolved {
				after.Run.Unresolved = []flawless.Doubt{{Call: 1, Reason: "reset by peer", Since: time.Now()}}
			}
			if status == flawless.Failed {
				now := time.Now()
				after.Run.Ended, after.Run.Failure = &now, &flawless.Failure{Kind: "error", Message: "reason " + string(rune('a'+rand.IntN(26)))}
			}
			w := store.Write{ID: id, New: before == nil, Before: before, After: &after}
			if err := s.Write(context.Background(), l, w); err != nil {
				t.Error(err)
				return
			}
			if w.New { // a second start of the run changes nothing
				if again := after; s.Write(context.Background(), l, store.Write{ID: id, New: true, After: &again}) == nil {
					t.Error("a run was created twice")
				}
			}
			before = &after
			if rand.IntN(4) == 0 {
				break
			}
		}
		if before.Run.Status == flawless.Failed && rand.IntN(2) == 0 {
			if err := s.Remove(context.Background(), l, id, false); err != nil {
				t.Error(err)
			}
		}
	}
	together := func(s *store.Store, l *store.Lease, name string, from int) {
		var all sync.WaitGroup
		for i := range 300 {
			all.Go(func() { live(s, l, fmt.Sprintf("%s.%d", name, from+i)) }) // a family: all in one shard
		}
		all.Wait()
	}
	together(s, lease, "first", 0)
	rows := walked(t, s)
	if other := rows["m"].Reasons["failed "+tally.Other]; other.Runs == 0 {
		t.Errorf("26 reasons are all counted apart: %v", rows["m"].Reasons)
	}
	second, err := store.Open(t.Context(), kv)
	if err != nil {
		t.Fatal(err)
	}
	taken, err := second.Claim(t.Context(), "b")
	if err != nil {
		t.Fatal(err)
	}
	together(second, taken, "first", 1000)
	together(second, taken, "third", 0)
	walked(t, second)
	late := store.Head{Run: flawless.Run{ID: "late", Module: "m", Workflow: "w", Status: flawless.Pending}}
	if err := s.Write(t.Context(), lease, store.Write{ID: "late", New: true, After: &late}); err == nil {
		t.Error("a former owner has written")
	}
	if lease, err = s.Claim(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	together(s, lease, "first", 2000)
	walked(t, s)
	kv.holes = [][]byte{{'s'}} // so that listing by status rebuilds all indexes
	if _, _, err := s.Runs(t.Context(), flawless.Filter{Status: []flawless.Status{flawless.Failed}}); err != nil {
		t.Fatal(err)
	}
	walked(t, s)
	together(s, lease, "first", 3000)
	walked(t, s)
}

// TestWrongCountsAreCorrected: rows that say something else than the runs, are missing or are too many are replaced, and later writes
// go on from what is right. Counts that are right stay as they are, also while runs change.
func TestWrongCountsAreCorrected(t *testing.T) {
	t.Parallel()
	kv := mem.New()
	s, err := store.Open(t.Context(), kv)
	if err != nil {
		t.Fatal(err)
	}
	lease, err := s.Claim(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	write := func(id, module string, from, to flawless.Status) {
		t.Helper()
		after := store.Head{Run: flawless.Run{ID: id, Module: module, Workflow: "w", Status: to}}
		w := store.Write{ID: id, New: from == "", After: &after}
		if from != "" {
			w.Before = &store.Head{Run: flawless.Run{ID: id, Module: module, Workflow: "w", Status: from}}
		}
		if err := s.Write(t.Context(), lease, w); err != nil {
			t.Error(err)
		}
	}
	recount := func(want ...string) {
		t.Helper()
		wrong, err := s.Recount(t.Context(), lease)
		if err != nil || !slices.Equal(wrong, want) {
			t.Errorf("the counts of %q were wrong, %v; want %q", wrong, err, want)
		}
	}
	for i := range 20 {
		write(fmt.Sprint("run-", i), fmt.Sprint("m", i%2), "", flawless.Waiting)
	}
	recount()
	rows := func() (all []store.Item) {
		for item, err := range kv.Scan(t.Context(), store.Range{From: key.Tally.Key(), To: key.Tally.Key().End()}) {
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, store.Item{Key: slices.Clone(item.Key), Value: slices.Clone(item.Value)})
		}
		return all
	}
	before := rows()
	write("run-0", "m0", flawless.Waiting, flawless.Completed)
	write("run-1", "m1", flawless.Waiting, flawless.Completed)
	module := func(at int) string {
		return map[bool]string{true: "m0", false: "m1"}[bytes.Contains(before[at].Key, []byte("m0"))]
	}
	spoil := &store.Batch{Delete: [][]byte{before[0].Key}}                                                                                 // one is missing
	spoil.Set = append(spoil.Set, store.Item{Key: append(slices.Clone(before[1].Key[:len(before[1].Key)-1]), 63), Value: before[1].Value}) // and one is there twice
	if err := kv.Apply(t.Context(), spoil); err != nil {
		t.Fatal(err)
	}
	if s, err = store.Open(t.Context(), kv); err != nil { // with what it reads of them
		t.Fatal(err)
	}
	if lease, err = s.Claim(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	for i := 2; i < 20; i++ {
		write(fmt.Sprint("run-", i), fmt.Sprint("m", i%2), flawless.Waiting, flawless.Running)
	}
	write("run-0", "m0", flawless.Completed, flawless.Running)
	write("run-1", "m1", flawless.Completed, flawless.Running)
	want := []string{module(0), module(1)}
	slices.Sort(want)
	recount(slices.Compact(want)...)
	walked(t, s)
	recount()
	for i := range 20 { // the rows that were replaced are read again
		write(fmt.Sprint("run-", i), fmt.Sprint("m", i%2), flawless.Running, flawless.Completed)
	}
	walked(t, s)
	recount()

	var others sync.WaitGroup
	done := make(chan struct{})
	for k := range 4 {
		others.Go(func() {
			for i := 0; ; i++ {
				id := fmt.Sprintf("more.%d.%d", k, i) // a family: all in one shard
				select {
				case <-done:
					return
				default:
					write(id, "m0", "", flawless.Waiting)
					write(id, "m0", flawless.Waiting, flawless.Completed)
				}
			}
		})
	}
	for range 100 {
		recount()
	}
	close(done)
	others.Wait()
	walked(t, s)
}
