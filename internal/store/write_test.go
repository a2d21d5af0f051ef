package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/mem"
	"github.com/flawless-engine/flawless/internal/store/storetest"
)

// TestWriteIsOneApply counts the batches that reach the database.
func TestWriteIsOneApply(t *testing.T) {
	t.Parallel()
	kv := storetest.Counting(mem.New())
	s, l := claimed(t, kv)
	h := store.Head{Run: flawless.Run{ID: "a", Module: "m", Status: flawless.Running, Created: time.Unix(1, 0)}}
	before := kv.Count.Load()
	if err := s.Write(t.Context(), l, store.Write{ID: "a", New: true, After: &h, Entries: []flawless.Entry{{At: 1}}, Data: []byte("1")}); err != nil {
		t.Fatal(err)
	}
	after := h
	after.Run.Turns, after.Wake, after.Active = 1, 5, true
	if err := s.Write(t.Context(), l, store.Write{ID: "a", Before: &h, After: &after, Seq: 1, Entries: []flawless.Entry{{At: 2}}}); err != nil {
		t.Fatal(err)
	}
	if n := kv.Count.Load() - before; n != 2 {
		t.Errorf("two writes took %d applies", n)
	}
}

func claimed(t testing.TB, kv store.KV) (*store.Store, *store.Lease) {
	t.Helper()
	s, err := store.Open(t.Context(), kv)
	if err != nil {
		t.Fatal(err)
	}
	l, err := s.Claim(t.Context(), "test")
	if err != nil {
		t.Fatal(err)
	}
	return s, l
}

func BenchmarkWrite(b *testing.B) {
	s, l := claimed(b, mem.New())
	h := store.Head{Run: flawless.Run{ID: "a", Module: "m", Status: flawless.Running, Created: time.Unix(1, 0)}}
	for i := range 1000 {
		h.Run.ID = fmt.Sprint(i)
		if err := s.Write(b.Context(), l, store.Write{ID: h.Run.ID, New: true, After: &h}); err != nil {
			b.Fatal(err)
		}
	}
	h.Run.ID = "5"
	after := h
	after.Run.Status = flawless.Waiting
	turn := []flawless.Entry{{At: 1, Turn: &flawless.Turn{N: 1, Calls: []flawless.Call{{N: 1, Kind: "http", Head: make([]byte, 200)}}}}}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if err := s.Write(b.Context(), l, store.Write{ID: "5", Before: &h, After: &after, Seq: uint64(i), Entries: turn}); err != nil {
			b.Fatal(err)
		}
		h, after = after, h
	}
}
