package transfer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/mem"
	"github.com/flawless-engine/flawless/internal/store/pebble"
	"github.com/flawless-engine/flawless/internal/store/storetest"
)

var start = time.Unix(1_700_000_000, 0).UTC()

// filled puts a store with some runs into a database, and returns its id. Some records are larger than a batch.
func filled(t *testing.T, kv store.KV, runs int) string {
	t.Helper()
	st, err := store.Open(t.Context(), kv)
	if err != nil {
		t.Fatal(err)
	}
	l, err := st.Claim(t.Context(), "server")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := st.AddModule(t.Context(), l, flawless.Module{Name: "m", Digest: "d"}, make([]byte, 100_000)); err != nil {
		t.Fatal(err)
	}
	for i := range runs {
		id := fmt.Sprintf("run-%d", i)
		input := []byte(`"` + strings.Repeat("x", i%7*300_000) + `"`)
		h := store.Head{Run: flawless.Run{ID: id, Module: "m", Workflow: "w", Status: flawless.Running, Created: start}, Wake: int64(i)}
		w := store.Write{ID: id, New: true, After: &h, Entries: []flawless.Entry{{Start: &flawless.Start{Module: "m", Digest: "d", Workflow: "w", Input: input, Seed: make([]byte, 32), Time: 1}}}}
		if err := st.Write(t.Context(), l, w); err != nil {
			t.Fatal(err)
		}
	}
	return st.Identity().ID
}

// contents returns all rows of a database, in order, but for the mark of a transfer.
func contents(t *testing.T, kv store.KV) (all []string) {
	t.Helper()
	for item, err := range kv.Scan(t.Context(), store.Range{}) {
		if err != nil {
			t.Fatal(err)
		}
		if string(item.Key) != string(store.KeyTransfer()) {
			all = append(all, fmt.Sprintf("%q %x", item.Key, item.Value))
		}
	}
	return all
}

// opens reports whether a database can be opened as a store with runs.
func opens(t *testing.T, kv store.KV) bool {
	t.Helper()
	for range kv.Scan(t.Context(), store.Range{Limit: 1}) {
		st, err := store.Open(t.Context(), kv)
		if err != nil && !errors.Is(err, flawless.Conflict) {
			t.Fatal(err)
		}
		return st != nil
	}
	return false
}

func onDisk(t *testing.T) store.KV {
	t.Helper()
	db, err := pebble.Open(t.TempDir(), pebble.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func options(from, to store.KV) Options {
	return Options{From: Side{storetest.Lent(from), "directory a"}, To: Side{storetest.Lent(to), "database b"}}
}

func TestStoreGoesOnInTheOtherDatabase(t *testing.T) {
	t.Parallel()
	from, to := onDisk(t), mem.New()
	id := filled(t, from, 30)
	calls := 0
	o := options(from, to)
	o.Progress = func(Report) { calls++ }
	r, err := Copy(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	all := contents(t, to)
	if r.Store != id || r.Rows != int64(len(all)) || r.Compared != r.Rows || r.Bytes < 2_000_000 || r.Resumed || calls == 0 {
		t.Errorf("the report is %+v with %d calls of progress; the store %s has %d rows", r, calls, id, len(all))
	}
	if !slices.Equal(contents(t, from), all) {
		t.Error("the copy has other rows")
	}
	if opens(t, from) {
		t.Error("the source can still be opened")
	}
	st, err := store.Open(t.Context(), to)
	if err != nil {
		t.Fatal(err)
	}
	if h, err := st.Head(t.Context(), "run-29"); st.Identity().ID != id || err != nil || h.Wake != 29 {
		t.Errorf("the copy is store %s, and has run-29 with %+v, %v", st.Identity().ID, h, err)
	}
	if _, err := Copy(t.Context(), o); !errors.Is(err, flawless.Conflict) || !strings.Contains(err.Error(), "complete already") {
		t.Errorf("copying again: %v", err)
	}
	if err := Cancel(t.Context(), o); !errors.Is(err, flawless.Conflict) || opens(t, from) {
		t.Errorf("cancelling a complete copy: %v", err)
	}

	back := onDisk(t)
	o = Options{From: Side{to, "database b"}, To: Side{back, "directory c"}}
	if _, err := Copy(t.Context(), o); err != nil || opens(t, to) || !opens(t, back) {
		t.Errorf("copying back: %v", err)
	}
}

// TestCrashWhileCopying ends a copy at each write, and completes or cancels it. At no time can both databases be opened.
func TestCrashWhileCopying(t *testing.T) {
	t.Parallel()
	complete := mem.New()
	filled(t, complete, 12)
	count := [2]*storetest.Mortal{storetest.Counting(complete), storetest.Counting(mem.New())}
	if _, err := Copy(t.Context(), options(count[0], count[1])); err != nil {
		t.Fatal(err)
	}
	if count[0].Count.Load() < 3 || count[1].Count.Load() < 4 {
		t.Fatalf("a copy takes %d and %d writes: too few for this test", count[0].Count.Load(), count[1].Count.Load())
	}
	for side := range 2 {
		for n := 1; n <= int(count[side].Count.Load()); n++ {
			for _, when := range []storetest.When{storetest.Before, storetest.After} {
				t.Run(fmt.Sprint(side, n, when), func(t *testing.T) {
					t.Parallel()
					crashed(t, side, n, when, func(t *testing.T, from, to store.KV) {
						if _, err := Copy(t.Context(), options(from, to)); err != nil && !errors.Is(err, flawless.Conflict) {
							t.Errorf("completing the copy: %v", err)
						}
						if opens(t, from) || !opens(t, to) {
							t.Errorf("after the copy was completed, the source can be opened: %v, the target: %v", opens(t, from), opens(t, to))
						}
					})
					crashed(t, side, n, when, func(t *testing.T, from, to store.KV) {
						err := Cancel(t.Context(), options(from, to))
						switch { // whether it could be cancelled depends on how far it was
						case opens(t, from) == opens(t, to) && opens(t, from):
							t.Error("both can be opened")
						case err == nil && !opens(t, from):
							t.Error("it was cancelled, and the source cannot be opened")
						case err == nil:
							if _, err := Copy(t.Context(), options(from, to)); !errors.Is(err, flawless.Conflict) || !opens(t, from) || opens(t, to) {
								t.Errorf("a copy into a cancelled one: %v; the source can be opened: %v", err, opens(t, from))
							}
						case !errors.Is(err, flawless.Conflict):
							t.Error(err)
						}
					})
				})
			}
		}
	}
}

// crashed copies a store until the nth write to one side, and calls then with what a crash leaves.
func crashed(t *testing.T, side, n int, when storetest.When, then func(t *testing.T, from, to store.KV)) {
	t.Helper()
	dbs := [2]store.KV{mem.New(), mem.New()}
	filled(t, dbs[0], 12)
	before := contents(t, dbs[0])
	dying := dbs
	dying[side] = storetest.Dying(dbs[side], n, when, nil)
	if _, err := Copy(t.Context(), options(dying[0], dying[1])); !errors.Is(err, storetest.ErrDied) {
		t.Fatalf("the copy goes on although its database died: %v", err)
	}
	if opens(t, dbs[0]) && opens(t, dbs[1]) {
		t.Error("after the crash both can be opened")
	}
	then(t, dbs[0], dbs[1])
	if opens(t, dbs[1]) && len(contents(t, dbs[1])) < len(before) {
		t.Error("the copy has fewer rows than the store")
	}
}

func TestCopyNeedsAnEmptyTarget(t *testing.T) {
	t.Parallel()
	from, to := mem.New(), mem.New()
	filled(t, from, 1)
	filled(t, to, 2)
	before := contents(t, to)
	if _, err := Copy(t.Context(), options(from, to)); !errors.Is(err, flawless.Conflict) || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("copying into another store: %v", err)
	}
	if !opens(t, from) || !opens(t, to) || !slices.Equal(before, contents(t, to)) {
		t.Errorf("after a copy was refused, the source can be opened: %v, the target: %v", opens(t, from), opens(t, to))
	}
	if err := Cancel(t.Context(), options(from, to)); !errors.Is(err, flawless.Conflict) || !opens(t, to) {
		t.Errorf("cancelling what was never begun: %v", err)
	}
}

func TestNothingIsNotCopied(t *testing.T) {
	t.Parallel()
	from, to := mem.New(), mem.New()
	if _, err := Copy(t.Context(), options(from, to)); !errors.Is(err, flawless.NotFound) || len(contents(t, from))+len(contents(t, to)) > 0 {
		t.Errorf("copying an empty database: %v", err)
	}
}

// TestDifferentCopyIsNotCompleted changes a row of the target while it is being copied.
func TestDifferentCopyIsNotCompleted(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]*store.Batch{
		"another value": {Set: []store.Item{{Key: []byte("F"), Value: []byte("other")}}},
		"an extra row":  {Set: []store.Item{{Key: []byte{0xff, 1}, Value: []byte("more")}}},
		"a missing row": {Delete: [][]byte{[]byte("F")}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			from, to := mem.New(), mem.New()
			filled(t, from, 12)
			o := options(from, to)
			o.Progress = func(r Report) {
				if r.Compared == 0 && o.To.KV != nil {
					if err := to.Apply(context.Background(), change); err != nil {
						t.Error(err)
					}
				}
			}
			if _, err := Copy(t.Context(), o); !errors.Is(err, flawless.Damaged) {
				t.Errorf("the copy differs from the store: %v", err)
			}
			if opens(t, from) || opens(t, to) {
				t.Errorf("the source can be opened: %v, the target: %v", opens(t, from), opens(t, to))
			}
			if err := Cancel(t.Context(), o); err != nil || !opens(t, from) {
				t.Errorf("cancelling: %v", err)
			}
		})
	}
}
