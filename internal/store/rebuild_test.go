package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/mem"
	"github.com/flawless-engine/flawless/internal/store/storetest"
)

// holed is a database that cannot read keys with some prefixes, as if a block of a table was damaged.
type holed struct {
	store.KV
	holes [][]byte
}

func (kv *holed) damaged(key []byte) bool {
	return slices.ContainsFunc(kv.holes, func(hole []byte) bool { return bytes.HasPrefix(key, hole) })
}

func (kv *holed) Get(ctx context.Context, key []byte) ([]byte, error) {
	if kv.damaged(key) {
		return nil, fmt.Errorf("a block has a wrong checksum: %w", flawless.Damaged)
	}
	return kv.KV.Get(ctx, key)
}

func (kv *holed) Scan(ctx context.Context, r store.Range) iter.Seq2[store.Item, error] {
	return func(yield func(store.Item, error) bool) {
		for item, err := range kv.KV.Scan(ctx, r) {
			if err == nil && kv.damaged(item.Key) {
				yield(store.Item{}, fmt.Errorf("a block has a wrong checksum: %w", flawless.Damaged))
				return
			}
			if !yield(item, err) {
				return
			}
		}
	}
}

// listed is the content of all lists.
type listed struct {
	All, Waiting, Module, Workflow, Labelled, Children []string
	Active, Placed                                     []string
	Timers                                             []store.Timer
}

func listedIn(t *testing.T, s *store.Store) (l listed) {
	t.Helper()
	ids := func(f flawless.Filter) (ids []string) {
		for f.Limit = 100; ; {
			runs, next, err := s.Runs(t.Context(), f)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range runs {
				ids = append(ids, r.ID)
			}
			if f.Cursor = next; next == "" {
				return ids
			}
		}
	}
	all := func(seq iter.Seq2[string, error]) (ids []string) {
		for id, err := range seq {
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, id)
		}
		return ids
	}
	l = listed{
		All: ids(flawless.Filter{}), Waiting: ids(flawless.Filter{Status: []flawless.Status{flawless.Waiting}}),
		Module: ids(flawless.Filter{Module: "b"}), Workflow: ids(flawless.Filter{Module: "b", Workflow: "w"}), Labelled: ids(flawless.Filter{Labels: map[string]string{"k": "2"}}),
		Children: ids(flawless.Filter{Parent: "run-0001"}),
		Active:   all(s.Active(t.Context(), store.AllShards())), Placed: all(s.Placed(t.Context(), store.AllShards())),
	}
	for timer, err := range s.Timers(t.Context(), 0, 1<<62, store.AllShards()) {
		if err != nil {
			t.Fatal(err)
		}
		l.Timers = append(l.Timers, timer)
	}
	return l
}

// addRuns adds runs that appear in all lists.
func addRuns(t *testing.T, s *store.Store, l *store.Lease, from, to int) {
	t.Helper()
	for n := from; n < to; n++ {
		id := fmt.Sprintf("run-%04d", n)
		h := store.Head{Run: flawless.Run{ID: id, Module: []string{"a", "b"}[n%2], Workflow: "w", Created: time.Unix(int64(n), 0),
			Status: flawless.Statuses[n%len(flawless.Statuses)], Labels: map[string]string{"k": fmt.Sprint(n % 5)}}, Active: n%7 == 0, Wake: int64(n % 11)}
		if n%3 == 0 {
			h.Run.Parent = "run-0001"
		}
		if n%4 == 0 {
			h.Run.Queue = &flawless.QueueOptions{Key: "p"}
		}
		if err := s.Write(t.Context(), l, store.Write{ID: id, New: true, After: &h}); err != nil {
			t.Fatal(err)
		}
	}
}

const runs = 1300

func TestDamagedListsAreRebuilt(t *testing.T) {
	t.Parallel()
	for _, hole := range []string{"c", "s", "m", "w", "L", "P", "G", "a", "t", "c\x80\x00\x00\x80", "a" + string([]byte{byte(store.ShardOf("run-0049"))}) + "run-0049"} {
		t.Run(hole, func(t *testing.T) {
			t.Parallel()
			kv := &holed{KV: mem.New()}
			s, l := claimed(t, kv)
			addRuns(t, s, l, 0, runs)
			want := listedIn(t, s)
			if s.Damage() != "" {
				t.Errorf("damage is reported although there is none: %s", s.Damage())
			}
			kv.holes = [][]byte{[]byte(hole)}
			if diff := cmp.Diff(want, listedIn(t, s)); diff != "" {
				t.Errorf("the lists differ (-intact +damaged):\n%s", diff)
			}
			if s.Damage() == "" {
				t.Error("the damage is not reported")
			}

			// They go on where they are now, also when the store is opened again.
			addRuns(t, s, l, runs, runs+20)
			again, l := claimed(t, kv)
			addRuns(t, again, l, runs+20, runs+30)
			got := listedIn(t, again)
			if len(got.All) != runs+30 || again.Damage() != "" {
				t.Errorf("%d runs are listed, want %d; damage: %q", len(got.All), runs+30, again.Damage())
			}
		})
	}
}

// TestInterruptedRebuildIsRepeated crashes at each write while lists are rebuilt.
func TestInterruptedRebuildIsRepeated(t *testing.T) {
	t.Parallel()
	for n := 1; ; n++ {
		kv := &holed{KV: mem.New()}
		s, l := claimed(t, kv)
		addRuns(t, s, l, 0, runs)
		want := listedIn(t, s)
		kv.holes = [][]byte{[]byte("c")}
		whole := kv.KV
		dying := storetest.Dying(whole, n, storetest.Before, nil)
		kv.KV = dying
		if _, _, err := s.Runs(t.Context(), flawless.Filter{}); err == nil {
			if n < 4 {
				t.Errorf("the lists were rebuilt in %d writes, too few to test crashes", n-1)
			}
			return
		}
		kv.KV = whole
		again, _ := claimed(t, kv)
		if diff := cmp.Diff(want, listedIn(t, again)); diff != "" {
			t.Errorf("after a crash at write %d the lists differ (-before +after):\n%s", n, diff)
		}
	}
}

func TestRebuildNeedsAllHeads(t *testing.T) {
	t.Parallel()
	kv := &holed{KV: mem.New()}
	s, l := claimed(t, kv)
	addRuns(t, s, l, 0, 10)
	kv.holes = [][]byte{[]byte("c"), append([]byte{'h', byte(store.ShardOf("run-0005"))}, "run-0005"...)}
	if _, _, err := s.Runs(t.Context(), flawless.Filter{}); !errors.Is(err, flawless.Damaged) {
		t.Errorf("listing: %v, want damaged", err)
	}
	kv.holes = kv.holes[:1]
	if got := listedIn(t, s).All; len(got) != 10 {
		t.Errorf("%d runs are listed after their heads can be read, want 10", len(got))
	}
}

// TestDamagedModuleIsWrittenAgain when the same module is added again.
func TestDamagedModuleIsWrittenAgain(t *testing.T) {
	t.Parallel()
	kv := &rewritten{holed{KV: mem.New()}}
	s, l := claimed(t, kv)
	bin := bytes.Repeat([]byte("0123456789abcdef"), 10_000)
	m := flawless.Module{Name: "m", Digest: "d", Manifest: flawless.Manifest{Workflows: []flawless.Workflow{{Name: "w"}}}}
	if _, _, err := s.AddModule(t.Context(), l, m, bin); err != nil {
		t.Fatal(err)
	}
	kv.holes = [][]byte{append([]byte("bd\x00\x01"), 0, 0, 0, 0, 0, 0, 0, 2)}
	if _, err := s.Binary(t.Context(), "d"); !errors.Is(err, flawless.Damaged) {
		t.Errorf("the damaged bytes: %v", err)
	}
	got, added, err := s.AddModule(t.Context(), l, m, bin)
	if err != nil || added || got.Version != 1 {
		t.Errorf("adding it again: version %d, new %v, %v", got.Version, added, err)
	}
	if again, err := s.Binary(t.Context(), "d"); err != nil || !bytes.Equal(again, bin) {
		t.Errorf("the bytes afterwards: %d, %v", len(again), err)
	}
}

// rewritten is a database whose damaged keys can be read one by one after they were written again, but not by a scan: a
// scan reads all tables, and one of them is still damaged.
type rewritten struct{ holed }

func (kv *rewritten) Get(ctx context.Context, key []byte) ([]byte, error) {
	if len(kv.holes) > 1 && bytes.Equal(key, kv.holes[1]) {
		return kv.KV.Get(ctx, key)
	}
	return kv.holed.Get(ctx, key)
}

func (kv *rewritten) Apply(ctx context.Context, b *store.Batch) error {
	for _, item := range b.Set {
		if kv.damaged(item.Key) {
			kv.holes = append(kv.holes, bytes.Clone(item.Key))
		}
	}
	return kv.KV.Apply(ctx, b)
}
