package storetest

import (
	"bytes"
	"context"
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/key"
	"github.com/flawless-engine/flawless/internal/store/tally"
)

// writes returns all operations of a store that change something, under the names of their methods and in an order in
// which they succeed.
func writes(s *store.Store, open, ended store.Head) []struct {
	name string
	do   func(context.Context, *store.Lease) error
} {
	var mark store.Mark
	return []struct {
		name string
		do   func(context.Context, *store.Lease) error
	}{
		{"Write", func(ctx context.Context, l *store.Lease) error {
			return s.Write(ctx, l, store.Write{ID: "open", Before: &open, After: &ended})
		}},
		{"MaskKey", func(ctx context.Context, l *store.Lease) error { _, err := s.MaskKey(ctx, l); return err }},
		{"PutImage", func(ctx context.Context, l *store.Lease) error {
			return s.PutImage(ctx, l, "open", store.Image{Seq: 1, State: []byte("s")})
		}},
		{"PutImageAndCut", func(ctx context.Context, l *store.Lease) error {
			return s.PutImageAndCut(ctx, l, "open", store.Image{Seq: 1, State: []byte("c")}, flawless.Cut{Next: 1, Turns: 1})
		}},
		{"PutCheck", func(ctx context.Context, l *store.Lease) error {
			return s.PutCheck(ctx, l, flawless.StoreCheck{Total: 1})
		}},
		{"PutView", func(ctx context.Context, l *store.Lease) error {
			return s.PutView(ctx, l, "v", nil, &flawless.View{Name: "v"})
		}},
		{"PutMinutes", func(ctx context.Context, l *store.Lease) error {
			return s.PutMinutes(ctx, l, tally.Minutes{Server: "n"}, nil)
		}},
		{"Recount", func(ctx context.Context, l *store.Lease) error { _, err := s.Recount(ctx, l); return err }},
		{"PutState", func(ctx context.Context, l *store.Lease) error {
			return s.PutState(ctx, l, "n", store.State{Value: []byte("1")})
		}},
		{"PutLimit", func(ctx context.Context, l *store.Lease) error {
			return s.PutLimit(ctx, l, "h", nil, &flawless.Limit{Host: "h"})
		}},
		{"PutGrants", func(ctx context.Context, l *store.Lease) error { return s.PutGrants(ctx, l, "a", "b") }},
		{"DropGrants", func(ctx context.Context, l *store.Lease) error { return s.DropGrants(ctx, l, "a", "b") }},
		{"PutHost", func(ctx context.Context, l *store.Lease) error {
			return s.PutHost(ctx, l, "h", nil, &flawless.Host{Host: "h", KeyMS: 1})
		}},
		{"PutSettings", func(ctx context.Context, l *store.Lease) error {
			return s.PutSettings(ctx, l, nil, flawless.Settings{Module: "m", Concurrency: 1})
		}},
		{"PutSchedule", func(ctx context.Context, l *store.Lease) error {
			return s.PutSchedule(ctx, l, "c", nil, &flawless.Schedule{Name: "c"})
		}},
		{"ChangeSecrets", func(ctx context.Context, l *store.Lease) error {
			return s.ChangeSecrets(ctx, l, []store.SecretChange{{After: &flawless.SealedSecret{Secret: flawless.Secret{Name: "S"}}}})
		}},
		{"Remove", func(ctx context.Context, l *store.Lease) error { return s.Remove(ctx, l, "ended", true) }},
		{"FinishRemovals", func(ctx context.Context, l *store.Lease) error { return s.FinishRemovals(ctx, l, store.AllShards()) }},
		{"Held", s.Held},
		{"AddModule", func(ctx context.Context, l *store.Lease) error {
			_, _, err := s.AddModule(ctx, l, flawless.Module{Name: "m", Digest: "d2"}, []byte("2"))
			return err
		}},
		{"WriteAt", func(ctx context.Context, l *store.Lease) error {
			_, err := s.WriteAt(ctx, l, store.Write{ID: "open", Seq: 7, Entries: entries(1)})
			return err
		}},
		{"KeepBinary", func(ctx context.Context, l *store.Lease) error { return s.KeepBinary(ctx, l, "d3", []byte("3")) }},
		{"Reserve", func(ctx context.Context, l *store.Lease) (err error) {
			mark, err = s.Reserve(ctx, l, []string{"d1"}, true, func(store.Mark) bool { return false })
			return err
		}},
		{"RemoveModule", func(ctx context.Context, l *store.Lease) error { return s.RemoveModule(ctx, l, "m", 1, &mark) }},
		{"Unreserve", func(ctx context.Context, l *store.Lease) error {
			return s.Unreserve(ctx, l, func(m store.Mark) bool { return m.ID == mark.ID })
		}},
	}
}

// unleased lists the methods of a store that need no lease, because they read or come before the first lease. Catalog writes
// at most once.
var unleased = []string{"Active", "Adopt", "Binary", "Branch", "CanCheck", "Catalog", "ChangeHistory", "Changes", "Check", "Claim", "ClaimAbove", "ClaimFree", "Close", "Confirm", "Counts", "Damage", "Data", "Extend", "Failed", "Free", "Full", "Gone", "Grants", "HasBinary", "Head", "History", "Holders", "Hosts", "Identity", "Image", "LastCheck", "LastEpoch", "Limit", "Limits", "Log", "LogPage", "Losses", "Minutes",
	"Module", "Modules", "ModulesWithRuns", "Moves", "Nodes", "Owners", "Placed", "PutNode", "Reclaim", "RememberClaims", "Runs", "Schedules", "Secrets", "Settings", "SettleLoss", "State", "States", "TakeOver", "Timers", "Views"}

// testFence checks that every write is refused under an older lease and succeeds under the current one.
func testFence(t *testing.T, open func(t *testing.T) store.KV) {
	kv := opener(open).opened(t)
	s := openStore(t, kv)
	if err := s.Adopt(t.Context(), start); err != nil { // so that Held has something to change
		t.Fatal(err)
	}
	older, err := s.Claim(t.Context(), "one")
	if err != nil {
		t.Fatal(err)
	}
	at := start.Add(time.Hour)
	running, ended, over := head("open", 1), head("ended", 2), head("open", 1)
	ended.Run.Status, ended.Run.Ended = flawless.Completed, &at
	over.Run.Status, over.Run.Ended = flawless.Failed, &at
	write(t, s, older, store.Write{ID: "open", New: true, After: &running, Entries: entries(1)})
	write(t, s, older, store.Write{ID: "ended", New: true, After: &ended, Entries: entries(1)})
	if _, _, err := s.AddModule(t.Context(), older, flawless.Module{Name: "m", Digest: "d1"}, []byte("1")); err != nil {
		t.Fatal(err)
	}
	apply(t, kv, set(store.Item{Key: keyOf('D', "left"), Value: []byte{}})) // an interrupted removal
	var twice []store.Item                                                  // counts, which makes them wrong, for Recount
	for row, err := range kv.Scan(t.Context(), store.Range{From: key.Tally.Key(), To: key.Tally.Key().End()}) {
		if err != nil {
			t.Fatal(err)
		}
		again := bytes.Clone(row.Key)
		again[len(again)-1] = 9
		twice = append(twice, store.Item{Key: again, Value: bytes.Clone(row.Value)})
	}
	apply(t, kv, set(twice...))
	holds, err := s.Claim(t.Context(), "two")
	if err != nil {
		t.Fatal(err)
	}

	names := map[string]bool{}
	for _, name := range unleased {
		names[name] = true
	}
	for _, w := range writes(s, running, over) {
		names[w.name] = true
		before := pairs(t, kv, store.Range{})
		code(t, w.name+" under the older lease", w.do(t.Context(), older), flawless.Fenced)
		same(t, "the database after "+w.name+" under the older lease", before, pairs(t, kv, store.Range{}))
		if err := w.do(t.Context(), holds); err != nil {
			t.Errorf("%s under the current lease: %v", w.name, err)
		}
		if after := pairs(t, kv, store.Range{}); slices.Equal(before, after) {
			t.Errorf("%s has changed nothing, so it is not tested", w.name)
		}
	}
	methods := map[string]bool{}
	for m := range reflect.TypeFor[*store.Store]().Methods() {
		methods[m.Name] = true
	}
	same(t, "the methods of a store, all either tried here or known to need no lease", slices.Sorted(maps.Keys(names)), slices.Sorted(maps.Keys(methods)))
}
