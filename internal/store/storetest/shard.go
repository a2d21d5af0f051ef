package storetest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
)

// runIn returns the id of a run in a shard, the nth one.
func runIn(sh store.Shard, n int) string {
	for i := 0; ; i++ {
		if id := fmt.Sprint("run-", i); store.ShardOf(id) == sh {
			if n--; n < 0 {
				return id
			}
		}
	}
}

// halves returns the even and the odd shards.
func halves() (even, odd []store.Shard) {
	for _, sh := range store.AllShards() {
		if sh%2 == 0 {
			even = append(even, sh)
		} else {
			odd = append(odd, sh)
		}
	}
	return even, odd
}

// testClaimOfSome claims some shards of an owner, who keeps the others.
func testClaimOfSome(t *testing.T, open func(t *testing.T) store.KV) {
	kv := opener(open).opened(t)
	one, two := openStore(t, kv), openStore(t, kv)
	l, err := one.Claim(t.Context(), "one")
	if err != nil {
		t.Fatal(err)
	}
	var lost []store.Shard
	l.OnLost(func(sh store.Shard) { lost = append(lost, sh) })
	heads := map[string]store.Head{}
	for _, sh := range []store.Shard{0, 7, 8, 255} {
		id := runIn(sh, 0)
		heads[id] = head(id, 1)
		h := heads[id]
		write(t, one, l, store.Write{ID: id, New: true, After: &h, Entries: entries(0)})
	}
	taken, err := two.Claim(t.Context(), "two", 7, 255, 7)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "the shards of the second owner", []store.Shard{7, 255}, taken.Owned())
	same(t, "their epochs", []uint64{2, 2, 0}, []uint64{taken.Epoch(7), taken.Epoch(255), taken.Epoch(8)})
	if !l.Owns(7) || len(lost) > 0 {
		t.Errorf("an owner cannot know that shards were claimed before it writes, but lost %v", lost)
	}
	for _, sh := range []store.Shard{0, 8} {
		write(t, one, l, store.Write{ID: runIn(sh, 0), Seq: 1, Entries: entries(1)})
	}
	before := pairs(t, kv, store.Range{})
	code(t, "a write to a shard that was claimed", one.Write(t.Context(), l, store.Write{ID: runIn(7, 0), Seq: 1, Entries: entries(1)}), flawless.Fenced)
	same(t, "the database after that write", before, pairs(t, kv, store.Range{}))
	slices.Sort(lost)
	same(t, "what the first owner has lost", []store.Shard{7, 255}, lost) // it finds out about both
	if l.Owns(7) || l.Owns(255) || !l.Owns(8) || !l.Owns(store.ShardOfCaps) {
		t.Errorf("it now owns %v", l.Owned())
	}
	code(t, "a write by the second owner to a shard that it did not claim", two.Write(t.Context(), taken, store.Write{ID: runIn(8, 0), Seq: 2, Entries: entries(2)}), flawless.Fenced)
	write(t, two, taken, store.Write{ID: runIn(7, 0), Seq: 1, Entries: entries(1)})
	for rec, err := range two.Log(t.Context(), runIn(7, 0), 1) {
		if err != nil || rec.Epoch != 2 {
			t.Errorf("the record after the claim has epoch %d, %v", rec.Epoch, err)
		}
	}

	// What belongs to no shard needs any that is left. The first shard is lost unnoticed here.
	if err := two.Extend(t.Context(), taken, 0, 8); err != nil {
		t.Fatal(err)
	}
	check := flawless.StoreCheck{Total: 5}
	if err := one.PutCheck(t.Context(), l, check); err != nil {
		t.Errorf("an owner of shards: %v", err)
	}
	third, err := two.Claim(t.Context(), "three", 9)
	if err != nil || !l.Owns(9) {
		t.Fatalf("claiming one more: %v", err)
	}
	if err := errors.Join(one.Confirm(t.Context(), l), two.Confirm(t.Context(), third)); err != nil || l.Owns(9) || !l.Owns(10) || !third.Owns(9) {
		t.Errorf("owners who ask what they have: %v", err)
	}
	l.Drop(l.Owned()...)
	l.Drop(store.ShardOfCaps)
	code(t, "an owner without shards", one.PutCheck(t.Context(), l, check), flawless.Fenced)

	// A crash in the middle of a claim leaves all of them or none.
	dying := openStore(t, Dying(kv, 1, Before, nil))
	if _, err := dying.Claim(t.Context(), "three"); !errors.Is(err, ErrDied) {
		t.Errorf("the claim of a dying server: %v", err)
	}
	write(t, two, taken, store.Write{ID: runIn(0, 0), Seq: 2, Entries: entries(2)})
	if _, err := one.Claim(t.Context(), "one", 257); !errors.Is(err, flawless.Invalid) {
		t.Errorf("the claim of a shard that does not exist: %v", err)
	}
	if last, err := one.LastEpoch(t.Context()); err != nil || last != 2 {
		t.Errorf("the last epoch is %d, %v", last, err)
	}
}

// testTwoOwners lets two owners of disjoint shards write at the same time, each through a store of its own.
func testTwoOwners(t *testing.T, open func(t *testing.T) store.KV) {
	kv := opener(open).opened(t)
	even, odd := halves()
	const writers, runs = 8, 20
	var all sync.WaitGroup
	want := map[string]bool{}
	for i, shards := range [][]store.Shard{even, odd} {
		s := openStore(t, kv)
		l, err := s.Claim(t.Context(), fmt.Sprint("owner ", i), shards...)
		if err != nil {
			t.Fatal(err)
		}
		l.OnLost(func(sh store.Shard) { t.Errorf("owner %d has lost shard %d", i, sh) })
		for w := range writers {
			var mine []string
			for n := range runs {
				id := runIn(shards[(w*runs+n)%len(shards)], w)
				if !want[id] {
					mine = append(mine, id)
				}
				want[id] = true
			}
			all.Go(func() {
				for _, id := range mine {
					h := head(id, 1)
					after := h
					after.Run.Status = flawless.Waiting
					err := errors.Join(s.Write(t.Context(), l, store.Write{ID: id, New: true, After: &h, Entries: entries(0)}),
						s.Write(t.Context(), l, store.Write{ID: id, Before: &h, After: &after, Seq: 1, Entries: entries(1)}))
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	all.Wait()
	got, _ := pages(t, openStore(t, kv), flawless.Filter{Status: []flawless.Status{flawless.Waiting}, Limit: 100})
	same(t, "the number of runs of both", len(want), len(got))
}

// testSharedSettings lets two owners change what belongs to no shard: neither overwrites what it has not read.
func testSharedSettings(t *testing.T, open func(t *testing.T) store.KV) {
	kv := opener(open).opened(t)
	even, odd := halves()
	s := openStore(t, kv)
	a, err := s.Claim(t.Context(), "a", even...)
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.Claim(t.Context(), "b", odd...)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	two, three := flawless.Settings{Module: "m", Concurrency: 2}, flawless.Settings{Module: "m", Concurrency: 3}
	host, other := flawless.Host{Host: "h", KeyMS: 1}, flawless.Host{Host: "h", KeyMS: 2}
	for _, row := range []struct {
		name string
		put  func(l *store.Lease) error
		want flawless.Code
	}{
		{"settings", func(l *store.Lease) error { return s.PutSettings(ctx, l, nil, two) }, flawless.Conflict},
		{"new settings", func(l *store.Lease) error { return s.PutSettings(ctx, l, &two, three) }, flawless.Conflict},
		{"a host", func(l *store.Lease) error { return s.PutHost(ctx, l, "h", nil, &host) }, flawless.Conflict},
		{"a new host", func(l *store.Lease) error { return s.PutHost(ctx, l, "h", &host, &other) }, flawless.Conflict},
		{"no host", func(l *store.Lease) error { return s.PutHost(ctx, l, "h", &other, nil) }, flawless.Conflict},
	} {
		if err := row.put(a); err != nil {
			t.Errorf("%s: %v", row.name, err)
		}
		code(t, row.name+" from another owner who has not seen the change", row.put(b), row.want)
	}
	first, err := s.MaskKey(ctx, a)
	if err != nil {
		t.Fatal(err)
	}
	if second, err := s.MaskKey(ctx, b); err != nil || !slices.Equal(first, second) {
		t.Errorf("the second owner has another key for masked values, %v", err)
	}
}

// testOrderOverShards reads timers and names in their order over all shards, and over some.
func testOrderOverShards(t *testing.T, open func(t *testing.T) store.KV) {
	kv := opener(open).opened(t)
	s := openStore(t, kv)
	l, err := s.Claim(t.Context(), "test")
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	even, odd := halves()
	var all []store.Timer
	read := func(from, until int64, shards []store.Shard) (got []store.Timer) {
		for timer, err := range s.Timers(ctx, from, until, shards) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, timer)
		}
		return got
	}
	within := func(from, until int64, shards []store.Shard) (want []store.Timer) {
		for _, timer := range all {
			if timer.Wake >= from && timer.Wake < until && slices.Contains(shards, store.ShardOf(timer.ID)) {
				want = append(want, timer)
			}
		}
		return want
	}
	check := func() {
		t.Helper()
		slices.SortFunc(all, func(a, b store.Timer) int {
			if a.Wake != b.Wake {
				return int(a.Wake - b.Wake)
			}
			if a.ID < b.ID {
				return -1
			}
			return 1
		})
		for _, shards := range [][]store.Shard{store.AllShards(), even, odd, {3}, {255, 0, 0}, nil, {store.ShardOfCaps}} {
			for _, span := range [][2]int64{{-1 << 62, 1 << 62}, {0, 5}, {5, 6}, {19, 1 << 62}} {
				same(t, fmt.Sprintf("%d timers, from %d until %d in %d shards", len(all), span[0], span[1], len(shards)), within(span[0], span[1], shards), read(span[0], span[1], shards))
			}
		}
	}
	check() // of no timers
	for n := range 600 {
		h := head(fmt.Sprint("r", n*n), 1)
		h.Wake, h.Active = int64(n%20)-3, true
		if h.Wake == 0 {
			h.Wake = 100
		}
		write(t, s, l, store.Write{ID: h.Run.ID, New: true, After: &h})
		if all = append(all, store.Timer{ID: h.Run.ID, Wake: h.Wake}); n == 3 || n == 20 {
			check() // of few, which are in few shards
		}
	}
	check()
	for range read(-1<<62, 1<<62, even) {
		break
	}

	var names, some []string
	for n := range 300 {
		name := fmt.Sprint("s", n)
		if err := s.PutState(ctx, l, name, store.State{Value: []byte("1")}); err != nil {
			t.Fatal(err)
		}
		if names = append(names, name); slices.Contains(odd, store.ShardOfName(store.KindState, name)) {
			some = append(some, name)
		}
	}
	slices.Sort(names)
	slices.Sort(some)
	states := func(from string, shards []store.Shard) (got []string) {
		for name, err := range s.States(ctx, from, shards) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, name)
		}
		return got
	}
	same(t, "the names of all states", names, states("", store.AllShards()))
	same(t, "those from one on", names[100:], states(names[100], store.AllShards()))
	same(t, "those of some shards", some, states("", odd))

	active := func(shards []store.Shard) (n int) {
		for _, err := range s.Active(ctx, shards) {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		return n
	}
	if n, m := active(even), active(odd); n+m != 600 || n == 0 || m == 0 {
		t.Errorf("%d runs are active in one half and %d in the other, of 600", n, m)
	}
	same(t, "active runs in no shard", 0, active(nil))
}
