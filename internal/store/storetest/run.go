package storetest

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strings"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
)

var start = time.Date(2026, 3, 4, 5, 6, 7, 890, time.UTC)

func openStore(t *testing.T, kv store.KV) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), kv)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// claimed returns a store on a new database, and its lease.
func claimed(t *testing.T, open func(t *testing.T) store.KV) (*store.Store, *store.Lease) {
	t.Helper()
	s := openStore(t, opener(open).opened(t))
	l, err := s.Claim(t.Context(), "test")
	if err != nil {
		t.Fatal(err)
	}
	return s, l
}

func write(t *testing.T, s *store.Store, l *store.Lease, w store.Write) {
	t.Helper()
	if err := s.Write(t.Context(), l, w); err != nil {
		t.Fatal(err)
	}
}

// head returns the head of a run that was created n seconds after start.
func head(id string, n int) store.Head {
	return store.Head{Run: flawless.Run{ID: id, Module: "m", Workflow: "w", Status: flawless.Pending, Created: start.Add(time.Duration(n) * time.Second)}}
}

func entries(n int) []flawless.Entry {
	return []flawless.Entry{{At: int64(n), Turn: &flawless.Turn{N: n, Time: int64(n), Lines: []flawless.Line{{Level: "stdout", Text: "\xff not UTF-8"}}}}}
}

func testFormat(t *testing.T, open func(t *testing.T) store.KV) {
	kv := opener(open).opened(t)
	openStore(t, kv)
	openStore(t, kv) // the format exists already
	value, err := kv.Get(t.Context(), []byte("F"))
	if err != nil {
		t.Fatal(err)
	}
	for name, format := range map[string]byte{"a format to come": store.KeyFormat + 1, "an older format": store.KeyFormat - 1} {
		other := []byte{format}
		other = binary.LittleEndian.AppendUint32(other, crc32.Checksum(other, crc32.MakeTable(crc32.Castagnoli)))
		apply(t, kv, set(store.Item{Key: []byte("F"), Value: other}))
		_, err = store.Open(t.Context(), kv)
		code(t, name, err, flawless.Conflict)
	}
	apply(t, kv, set(store.Item{Key: []byte("F"), Value: value[:3]}))
	_, err = store.Open(t.Context(), kv)
	code(t, "half a format number", err, flawless.Damaged)

	foreign := opener(open).opened(t)
	apply(t, foreign, set(item("A", "somebody else's")))
	_, err = store.Open(t.Context(), foreign)
	code(t, "a database of something else", err, flawless.Damaged)
}

func testLease(t *testing.T, open func(t *testing.T) store.KV) {
	s := openStore(t, opener(open).opened(t))
	err := s.Write(t.Context(), &store.Lease{}, store.Write{ID: "a", Entries: entries(1)})
	code(t, "writing without a lease", err, flawless.Fenced)

	first, err := s.Claim(t.Context(), "one")
	if err != nil || first.Owner() != "one" || first.Epoch(store.ShardOf("a")) != 1 {
		t.Fatalf("first claim: epoch %d, %v", first.LastEpoch(), err)
	}
	h := head("a", 0)
	write(t, s, first, store.Write{ID: "a", New: true, After: &h, Entries: entries(1)})
	second, err := s.Claim(t.Context(), "two")
	if err != nil || second.Owner() != "two" || second.Epoch(store.ShardOf("a")) != 2 {
		t.Fatalf("second claim: epoch %d, %v", second.LastEpoch(), err)
	}
	after := h
	after.Run.Status = flawless.Failed
	err = s.Write(t.Context(), first, store.Write{ID: "a", Before: &h, After: &after, Seq: 1, Entries: entries(2), Data: []byte("1")})
	code(t, "writing under the older lease", err, flawless.Fenced)
	got, err := s.Head(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	same(t, "head after the refusal", h, got)
	err = s.Write(t.Context(), first, store.Write{ID: "a", New: true, After: &h})
	code(t, "making a run again under the older lease", err, flawless.Fenced)
	write(t, s, second, store.Write{ID: "a", Before: &h, After: &after, Seq: 1, Entries: entries(2)})
}

func testRuns(t *testing.T, open func(t *testing.T) store.KV) {
	s, l := claimed(t, open)
	_, err := s.Head(t.Context(), "a")
	code(t, "head of no run", err, flawless.NotFound)
	_, err = s.Data(t.Context(), "a")
	code(t, "data of no run", err, flawless.NotFound)

	h := head("a", 1)
	h.Run.Output = []byte(`{"a":1}`)
	h.Active, h.Wake = true, 7
	write(t, s, l, store.Write{ID: "a", New: true, After: &h})
	got, err := s.Head(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	same(t, "head", h, got)
	err = s.Write(t.Context(), l, store.Write{ID: "a", New: true, After: &h, Entries: entries(9)})
	code(t, "making a run again", err, flawless.Conflict)

	write(t, s, l, store.Write{ID: "a", Data: []byte(`[1]`)})
	write(t, s, l, store.Write{ID: "a", Seq: 0, Entries: entries(1)})
	data, err := s.Data(t.Context(), "a")
	if err != nil || string(data) != `[1]` {
		t.Errorf("data %q, %v", data, err)
	}
	for _, w := range []store.Write{
		{ID: "a", After: &h},
		{ID: "b", Before: &h, After: &h},
		{ID: "b", New: true},
		{ID: "a", New: true, Before: &h, After: &h},
		{ID: "a b", New: true, After: &store.Head{Run: flawless.Run{ID: "a b"}}},
	} {
		code(t, "a write that contradicts itself", s.Write(t.Context(), l, w), flawless.Invalid)
	}
	many := []flawless.Entry{{Turn: &flawless.Turn{Lines: make([]flawless.Line, 1<<20+1)}}}
	code(t, "a turn with too many lines", s.Write(t.Context(), l, store.Write{ID: "a", Seq: 1, Entries: many}), flawless.TooLarge)

	labels := map[string]string{}
	for i := range 65 {
		labels[fmt.Sprint("n", i)] = ""
	}
	of := []flawless.Entry{{Turn: &flawless.Turn{Labels: labels}}}
	code(t, "a turn that changes too many labels", s.Write(t.Context(), l, store.Write{ID: "a", Seq: 1, Entries: of}), flawless.TooLarge)
}

func testLog(t *testing.T, open func(t *testing.T) store.KV) {
	s, l := claimed(t, open)
	want := map[string][]flawless.Record{}
	for _, id := range []string{"a", "aa", "ab", "ä", strings.Repeat("x", flawless.MaxID)} {
		h := head(id, 0)
		write(t, s, l, store.Write{ID: id, New: true, After: &h, Seq: 0, Entries: entries(0)})
		want[id] = []flawless.Record{{Seq: 0, Epoch: 1, Entries: entries(0)}}
		for i := range 300 {
			e := entries(i + 1)
			write(t, s, l, store.Write{ID: id, Seq: uint64(i + 1), Entries: e})
			want[id] = append(want[id], flawless.Record{Seq: uint64(i + 1), Epoch: 1, Entries: e})
		}
	}
	read := func(id string, from uint64) (got []flawless.Record) {
		for r, err := range s.Log(t.Context(), id, from) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, r)
		}
		return got
	}
	for id, records := range want {
		same(t, "log of "+id, records, read(id, 0))
		same(t, "end of the log of "+id, records[290:], read(id, 290))
		same(t, "records after the log of "+id, 0, len(read(id, 301)))
	}
	same(t, "records of no run", 0, len(read("b", 0)))
	for r, err := range s.Log(t.Context(), "a", 0) {
		if err != nil || r.Seq == 1 {
			break
		}
	}
}
