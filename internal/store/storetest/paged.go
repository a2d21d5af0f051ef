package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"sync/atomic"
	"testing"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
)

// Paged returns a KV on kv that reads no more from one snapshot than store.KV promises: the first
// [store.SnapshotItems] items of a scan, and then item by item.
func Paged(kv store.KV) store.KV { return &paged{kv} }

type paged struct{ store.KV }

// Scan implements store.KV.
func (p *paged) Scan(ctx context.Context, r store.Range) iter.Seq2[store.Item, error] {
	return func(yield func(store.Item, error) bool) {
		left, page := r.Limit, store.SnapshotItems
		for {
			if r.Limit = page; left > 0 {
				r.Limit = min(page, left)
			}
			n := 0
			var last []byte
			var items []store.Item
			for it, err := range p.KV.Scan(ctx, r) {
				if err != nil {
					yield(store.Item{}, err)
					return
				}
				items = append(items, store.Item{Key: bytes.Clone(it.Key), Value: append([]byte{}, it.Value...)})
			}
			for _, it := range items {
				n++
				last = bytes.Clone(it.Key)
				if !yield(it, nil) {
					return
				}
			}
			if n < r.Limit || left > 0 && n == left {
				return
			}
			if left > 0 {
				left -= n
			}
			if page = 1; r.Reverse {
				r.To = last
			} else {
				r.From = append(last, 0)
			}
		}
	}
}

// testLongLog truncates and removes a log while it is read, from a database that reads it in pages.
func testLongLog(t *testing.T, open func(t *testing.T) store.KV) {
	const records = store.SnapshotItems + 100
	for _, c := range []struct {
		name string
		do   func(s *store.Store, l *store.Lease) error
		want error
	}{
		{"grows", func(s *store.Store, l *store.Lease) error {
			return s.Write(t.Context(), l, store.Write{ID: "long", Seq: records, Entries: entries(records)})
		}, nil},
		{"is truncated", func(s *store.Store, l *store.Lease) error {
			return s.PutImageAndCut(t.Context(), l, "long", store.Image{Seq: records - 1, State: []byte("s")}, flawless.Cut{Next: records - 50, Turns: 1})
		}, flawless.Conflict},
		{"is removed", func(s *store.Store, l *store.Lease) error { return s.Remove(t.Context(), l, "long", false) }, flawless.Conflict},
	} {
		s := openStore(t, Paged(opener(open).opened(t)))
		l, err := s.Claim(t.Context(), "test")
		if err != nil {
			t.Fatal(err)
		}
		h := head("long", 0)
		h.Run.Status = flawless.Completed
		write(t, s, l, store.Write{ID: "long", New: true, After: &h, Entries: entries(0)})
		for i := range records - 1 {
			write(t, s, l, store.Write{ID: "long", Seq: uint64(i + 1), Entries: entries(i + 1)})
		}
		n := 0
		var failed error
		for r, err := range s.Log(t.Context(), "long", 0) {
			if err != nil {
				failed = err
				break
			}
			if r.Seq != uint64(n) {
				t.Fatalf("a log that %s: record %d is followed by %d", c.name, n-1, r.Seq)
			}
			if n++; n == 10 {
				if err := c.do(s, l); err != nil {
					t.Fatal(err)
				}
			}
		}
		if !errors.Is(failed, c.want) || c.want == nil && (failed != nil || n < records) {
			t.Errorf("a log that %s while it is read: %v after %d records, want %v", c.name, failed, n, c.want)
		}
	}
}

// testListWhileChanging changes a run while two lists are read in pages: one has been read up to that run, the other one
// has not.
func testListWhileChanging(t *testing.T, open func(t *testing.T) store.KV) {
	kv := &counted{KV: Paged(opener(open).opened(t))}
	s := openStore(t, kv)
	l, err := s.Claim(t.Context(), "test")
	if err != nil {
		t.Fatal(err)
	}
	const old, all = 50, store.SnapshotItems + 150
	var changing store.Head
	for i := range all {
		h := head(fmt.Sprintf("run-%04d", i), i)
		if i >= old {
			h.Run.Status = flawless.Running
		} else if i == old/2 {
			changing = h
		}
		write(t, s, l, store.Write{ID: h.Run.ID, New: true, After: &h})
	}
	kv.do = func() {
		after := changing
		after.Run.Status = flawless.Running
		write(t, s, l, store.Write{ID: changing.Run.ID, Before: &changing, After: &after})
	}
	kv.at.Store(store.SnapshotItems + 20)
	got, _, err := s.Runs(t.Context(), flawless.Filter{Limit: 1000, Status: []flawless.Status{flawless.Pending, flawless.Running}})
	if err != nil {
		t.Fatal(err)
	}
	if kv.at.Load() > 0 {
		t.Fatal("the run has not changed: the test proves nothing")
	}
	seen := map[string]int{}
	for _, r := range got {
		seen[r.ID]++
	}
	for i := range all {
		if id := fmt.Sprintf("run-%04d", i); seen[id] != 1 {
			t.Errorf("%s was listed %d times", id, seen[id])
		}
	}
}

// counted calls a function when so many items were read.
type counted struct {
	store.KV
	at atomic.Int64 // counts down
	do func()
}

// Scan implements store.KV.
func (c *counted) Scan(ctx context.Context, r store.Range) iter.Seq2[store.Item, error] {
	return func(yield func(store.Item, error) bool) {
		for it, err := range c.KV.Scan(ctx, r) {
			if c.at.Add(-1) == 0 {
				c.do()
			}
			if !yield(it, err) {
				return
			}
		}
	}
}
