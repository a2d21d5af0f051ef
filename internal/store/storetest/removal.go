package storetest

import (
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
)

// testRemoval removes runs on a database that fails at each write, and checks that nothing remains.
func testRemoval(t *testing.T, open func(t *testing.T) store.KV) {
	const records = 4100 // more than a batch removes
	for _, when := range []When{Before, After} {
		for left := 1; ; left++ {
			kv := opener(open).opened(t)
			s := openStore(t, kv)
			l, err := s.Claim(t.Context(), "test")
			if err != nil {
				t.Fatal(err)
			}
			h := head("long", 1)
			h.Run.Labels, h.Run.Parent = map[string]string{"a": "1"}, "p"
			write(t, s, l, store.Write{ID: "long", New: true, Keyed: true, After: &h, Data: []byte("{}"), Entries: []flawless.Entry{{Start: &flawless.Start{Input: []byte(`{"a":1}`)}}}})
			b := &store.Batch{} // more records, which the engine would write one by one
			for i := range records {
				b.Set = append(b.Set, store.Item{Key: binary.BigEndian.AppendUint64(keyOf('r', "long"), uint64(i+1)), Value: []byte("x")})
			}
			apply(t, kv, b)
			code(t, "an open run", s.Remove(t.Context(), l, "long", true), flawless.Conflict)
			ended, at := h, start.Add(time.Hour)
			ended.Run.Status, ended.Run.Ended = flawless.Completed, &at
			write(t, s, l, store.Write{ID: "long", Before: &h, After: &ended})

			dying := Dying(kv, left, when, nil)
			d, err := store.Open(t.Context(), dying)
			if err != nil {
				t.Fatal(err)
			}
			failed := d.Remove(t.Context(), l, "long", true) != nil
			if err := s.Remove(t.Context(), l, "long", true); err != nil {
				code(t, "removing it again", err, flawless.NotFound)
			}
			again := store.Write{ID: "long", New: true, After: &h}
			if len(pairs(t, kv, store.Range{From: keyOf('r', "long"), To: append(keyOf('r', "long"), 0xff)})) > 0 {
				code(t, "a run whose id still has records", s.Write(t.Context(), l, again), flawless.Conflict)
			}
			if err := s.FinishRemovals(t.Context(), l, store.AllShards()); err != nil {
				t.Fatal(err)
			}
			for _, item := range pairs(t, kv, store.Range{}) {
				if strings.Contains(item, "long") && !strings.HasPrefix(item, "K") {
					t.Fatalf("failure at write %d, %v: %.100q remains", left, when, item)
				}
			}
			gone, err := s.Gone(t.Context(), "long")
			if err != nil || gone.Run.Status != flawless.Completed || !gone.SameInput([]byte(` {"a": 1}`)) || gone.SameInput([]byte("2")) {
				t.Errorf("the trace is %+v, %v", gone, err)
			}
			err = s.Write(t.Context(), l, store.Write{ID: "long", New: true, Keyed: true, After: &h})
			code(t, "a second run with its key", err, flawless.Conflict)
			write(t, s, l, again)
			if !failed {
				if left < 3 {
					t.Error("it never died: the test proves nothing")
				}
				break
			}
		}
	}
	s, l := claimed(t, open)
	code(t, "a run that does not exist", s.Remove(t.Context(), l, "nobody", false), flawless.NotFound)
}
