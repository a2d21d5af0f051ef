package store_test

import (
	"context"
	"slices"
	"testing"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/kv"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

// interrupted is a database in which something happens before its next write.
type interrupted struct {
	store.KV
	next func()
}

func (i *interrupted) Apply(ctx context.Context, b *store.Batch) error {
	if f := i.next; f != nil {
		i.next = nil
		f()
	}
	return i.KV.Apply(ctx, b)
}

// TestTakeOverWhileHistoryChanges: two nodes that take over from others at the same time write the same row. That does not
// make one of them believe that another node was faster.
func TestTakeOverWhileHistoryChanges(t *testing.T) {
	t.Parallel()
	db := &interrupted{KV: mem.New()}
	s, l := claimed(t, db)
	dead := flawless.Node{ID: "dead", Name: "dead", Ring: "ring"}
	if err := s.PutNode(t.Context(), nil, &dead); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Claim(t.Context(), "dead", 3); err != nil {
		t.Fatal(err)
	}
	db.next = func() {
		if _, err := s.ChangeHistory(t.Context(), func(h *flawless.History) bool { h.Known = 7; return true }); err != nil {
			t.Error(err)
		}
	}
	shards, err := s.TakeOver(t.Context(), l, dead, false)
	if err != nil || !slices.Equal(shards, []store.Shard{3}) {
		t.Errorf("it takes over %v, %v", shards, err)
	}
	if h, err := s.History(t.Context()); err != nil || h.Known != 7 || len(h.Rings) != 1 {
		t.Errorf("the history is %+v, %v", h, err)
	}
	if _, err := s.TakeOver(t.Context(), l, dead, false); flawless.CodeOf(err) != flawless.Fenced {
		t.Errorf("taking over once more: %v", err)
	}
}

// remembered is a memory of claims.
type remembered map[int]uint64

func (m remembered) Claim(shard int, seen uint64) (before uint64) {
	before = m[shard]
	m[shard] = max(before, seen)
	return before
}

// TestLostClaimsAreNoticed: the database goes back to a time before shards changed their owner.
func TestLostClaimsAreNoticed(t *testing.T) {
	t.Parallel()
	db := mem.New()
	open := func(db *mem.DB, m remembered, self ...string) *store.Store {
		s, err := store.Open(t.Context(), db)
		if err != nil {
			t.Fatal(err)
		}
		s.RememberClaims(&kv.Rivals{Memory: m, Self: self})
		return s
	}
	notes := remembered{}
	s := open(db, notes, "one")
	for _, id := range []string{"one", "two"} {
		if err := s.PutNode(t.Context(), nil, &flawless.Node{ID: id, Name: id}); err != nil {
			t.Fatal(err)
		}
	}
	l, err := s.Claim(t.Context(), "one", 1, 2, 3, 4)
	if err != nil {
		t.Fatal(err)
	}
	free := func(s *store.Store, l *store.Lease, shards ...store.Shard) {
		t.Helper()
		if err := s.Free(t.Context(), l, shards...); err != nil {
			t.Fatal(err)
		}
	}
	free(s, l, 4)
	if got, err := s.ClaimFree(t.Context(), l, 4); err != nil || len(got) != 1 {
		t.Fatalf("claiming its own shard again gives %v, %v", got, err)
	}
	if h, err := s.History(t.Context()); err != nil || len(h.Rings) > 0 {
		t.Errorf("nothing is lost, and the history is %+v, %v", h, err)
	}
	before := db.Clone()
	free(s, l, 1, 2)
	other := open(db, remembered{}, "two")
	if _, err := other.Claim(t.Context(), "two", 2); err != nil { // 1 is free, and somebody may claim it
		t.Fatal(err)
	}
	if _, err := s.Owners(t.Context()); err != nil {
		t.Fatal(err)
	}
	back := open(before, notes, "again", "one")
	l = store.NewLease("again", nil)
	if err := back.Extend(t.Context(), l, 1, 2, 3, 4, store.ShardOfCaps); err != nil {
		t.Fatal(err)
	}
	h, err := back.History(t.Context())
	if err != nil || len(h.Rings) != 1 || !slices.Equal(h.Rings[0].Shards, []int{1, 2}) || h.Rings[0].State != flawless.RingTaken {
		t.Errorf("the history is %+v, %v", h, err)
	}
}
