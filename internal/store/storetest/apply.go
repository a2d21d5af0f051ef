package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
)

func testApply(t *testing.T, open func(t *testing.T) store.KV) {
	kv := opener(open).opened(t)
	apply(t, kv, &store.Batch{})
	apply(t, kv, set(item("a", "1"), item("b", "1")))
	apply(t, kv, &store.Batch{Set: []store.Item{item("b", "2"), item("c", "2")}, Delete: [][]byte{[]byte("a"), []byte("never there")}})
	same(t, "after two batches", []string{"b=2", "c=2"}, pairs(t, kv, store.Range{}))

	code(t, "setting the empty key", kv.Apply(t.Context(), set(item("c", "3"), item("", "1"))), flawless.Invalid)
	code(t, "deleting the empty key", kv.Apply(t.Context(), &store.Batch{Delete: [][]byte{{}}}), flawless.Invalid)
	same(t, "after a refusal", []string{"b=2", "c=2"}, pairs(t, kv, store.Range{}))

	key, value := []byte("k"), []byte("v")
	apply(t, kv, set(store.Item{Key: key, Value: value}))
	key[0], value[0] = 'x', 'x' // the caller may reuse the slices after the return
	same(t, "after the batch's slices changed", []string{"b=2", "c=2", "k=v"}, pairs(t, kv, store.Range{}))

	// A reader sees a whole batch or nothing of it.
	done := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		defer close(done)
		for i := range 200 {
			v := strconv.Itoa(i)
			if err := kv.Apply(t.Context(), set(item("x", v), item("y", v), item("z", v))); err != nil {
				t.Error(err)
				return
			}
		}
	})
	defer writer.Wait()
	for {
		var got []string
		for it, err := range kv.Scan(t.Context(), store.Range{From: []byte("x"), To: []byte("zz")}) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, string(it.Value))
		}
		if len(got) != 0 && (len(got) != 3 || got[0] != got[1] || got[1] != got[2]) {
			t.Fatalf("part of a batch is visible: %q", got)
		}
		select {
		case <-done:
			return
		default:
		}
	}
}

func testExpect(t *testing.T, open func(t *testing.T) store.KV) {
	for _, c := range []struct {
		name   string
		expect []store.Item
		holds  bool
	}{
		{"none", nil, true},
		{"a key has its value", []store.Item{item("a", "1")}, true},
		{"a key has another value", []store.Item{item("a", "2")}, false},
		{"a key has the beginning of its value", []store.Item{item("long", "va")}, false},
		{"a key is absent", []store.Item{absent("x")}, true},
		{"a key that is there is absent", []store.Item{absent("a")}, false},
		{"an empty value is a value", []store.Item{item("empty", "")}, true},
		{"an empty value is not absent", []store.Item{absent("empty")}, false},
		{"a key that is absent has an empty value", []store.Item{item("x", "")}, false},
		{"all of several", []store.Item{item("a", "1"), absent("x"), item("long", "value")}, true},
		{"all but one of several", []store.Item{item("a", "1"), absent("x"), item("long", "other")}, false},
		{"one that the batch itself sets", []store.Item{absent("new")}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			kv := opener(open).opened(t)
			apply(t, kv, set(item("a", "1"), item("empty", ""), item("long", "value")))
			before := pairs(t, kv, store.Range{})
			err := kv.Apply(t.Context(), &store.Batch{Expect: c.expect, Set: []store.Item{item("new", "n")}, Delete: [][]byte{[]byte("a")}})
			if c.holds {
				if err != nil {
					t.Fatal(err)
				}
				same(t, "after it", []string{"empty=", "long=value", "new=n"}, pairs(t, kv, store.Range{}))
				return
			}
			code(t, "Apply", err, flawless.Fenced)
			same(t, "after a refusal", before, pairs(t, kv, store.Range{}))

			err = kv.Apply(t.Context(), &store.Batch{Expect: c.expect})
			code(t, "Apply of expectations alone", err, flawless.Fenced)
		})
	}
}

// testExpectNothing expects keys to be absent while other keys around them are set and deleted.
func testExpectNothing(t *testing.T, open func(t *testing.T) store.KV) {
	kv := opener(open).opened(t)
	r := rand.New(rand.NewPCG(1, 1))
	there := map[string]bool{}
	for n := range 3000 {
		key := fmt.Sprintf("%c%02d", 'a'+rune(r.IntN(3)), r.IntN(1+n/50)) // the range of keys moves
		if r.IntN(3) == 0 {
			apply(t, kv, &store.Batch{Delete: [][]byte{[]byte(key)}})
			delete(there, key)
			continue
		}
		err := kv.Apply(t.Context(), &store.Batch{Expect: []store.Item{absent(key)}, Set: []store.Item{item(key, "1")}})
		if there[key] != errors.Is(err, flawless.Fenced) || !there[key] && err != nil {
			t.Fatalf("step %d expects no key %s: %v; the key exists: %v", n, key, err, there[key])
		}
		there[key] = true
	}
}

// testExpectAgain repeats the same expectations while their keys change.
func testExpectAgain(t *testing.T, open func(t *testing.T) store.KV) {
	kv := opener(open).opened(t)
	for i := range 10 {
		key := fmt.Sprintf("k%d", i)
		expect := func(it store.Item, b *store.Batch) error {
			b.Expect = []store.Item{it}
			return kv.Apply(t.Context(), b)
		}
		apply(t, kv, set(item(key, "1")))
		for range 3 {
			if err := expect(item(key, "1"), set(item("other", "1"))); err != nil {
				t.Fatal(err)
			}
		}
		code(t, "an expectation of what was never there", expect(item(key, "0"), set(item("other", "2"))), flawless.Fenced)
		if err := expect(item(key, "1"), set(item(key, "2"))); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			code(t, "an expectation of what was replaced", expect(item(key, "1"), set(item("other", "2"))), flawless.Fenced)
			if err := expect(item(key, "2"), set(item("other", "1"))); err != nil {
				t.Fatal(err)
			}
		}
		code(t, "an expectation of nothing where there is something", expect(absent(key), set(item("other", "2"))), flawless.Fenced)
		if err := expect(item(key, "2"), &store.Batch{Delete: [][]byte{[]byte(key)}}); err != nil {
			t.Fatal(err)
		}
		code(t, "an expectation of what was removed", expect(item(key, "2"), set(item("other", "2"))), flawless.Fenced)
		if err := expect(absent(key), set(item("other", "1"))); err != nil {
			t.Fatal(err)
		}
	}
	same(t, "after it", []string{"other=1"}, pairs(t, kv, store.Range{}))
}

// testRace has many writers replace the same value: exactly one may succeed.
func testRace(t *testing.T, open func(t *testing.T) store.KV) {
	kv := opener(open).opened(t)
	const rounds, rivals = 25, 8
	apply(t, kv, set(item("n", "0")))
	for round := range rounds {
		var won atomic.Int32
		var all sync.WaitGroup
		for rival := range rivals {
			all.Go(func() {
				err := kv.Apply(t.Context(), &store.Batch{
					Expect: []store.Item{item("n", strconv.Itoa(round))},
					Set:    []store.Item{item("n", strconv.Itoa(round+1)), item(fmt.Sprintf("won %d", round), strconv.Itoa(rival))},
				})
				if err == nil {
					won.Add(1)
				} else if !errors.Is(err, flawless.Fenced) {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if won.Load() != 1 {
			t.Fatalf("round %d: %d succeeded", round, won.Load())
		}
	}
}

// testOrder has writers that each increment their own key, and all append to one list.
func testOrder(t *testing.T, open func(t *testing.T) store.KV) {
	kv := opener(open).opened(t)
	const writers, steps = 8, 40
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for i := range steps {
				v := fmt.Sprintf("%02d", i)
				if err := kv.Apply(t.Context(), set(item(fmt.Sprintf("w%d", w), v), item(fmt.Sprintf("w%d/%s", w, v), v))); err != nil {
					t.Error(err)
					return
				}
				got, err := kv.Get(t.Context(), fmt.Appendf(nil, "w%d", w))
				if err != nil || string(got) != v {
					t.Errorf("writer %d reads %q, %v after it wrote %q", w, got, err, v)
				}
			}
		})
	}
	all.Wait()
	same(t, "number of keys", writers*(steps+1), len(pairs(t, kv, store.Range{})))
}

func testLarge(t *testing.T, open func(t *testing.T) store.KV) {
	kv := opener(open).opened(t)
	large := bytes.Repeat([]byte("0123456789abcdef"), 12<<20/16)
	apply(t, kv, set(store.Item{Key: []byte("large"), Value: large}, item("small", "1")))
	got, err := kv.Get(t.Context(), []byte("large"))
	if err != nil || !bytes.Equal(got, large) {
		t.Fatalf("12 MiB came back as %d bytes, %v", len(got), err)
	}
	apply(t, kv, &store.Batch{Expect: []store.Item{{Key: []byte("large"), Value: large}}, Set: []store.Item{item("large", "no more")}})
	same(t, "after it", []string{"large=no more", "small=1"}, pairs(t, kv, store.Range{}))
}

func testContext(t *testing.T, open func(t *testing.T) store.KV) {
	kv := opener(open).opened(t)
	apply(t, kv, set(item("a", "1")))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := kv.Apply(ctx, set(item("a", "2"))); !errors.Is(err, context.Canceled) {
		t.Errorf("Apply: %v, want context.Canceled", err)
	}
	if _, err := kv.Get(ctx, []byte("a")); !errors.Is(err, context.Canceled) {
		t.Errorf("Get: %v, want context.Canceled", err)
	}
	if got, err := list(ctx, kv, store.Range{}); !errors.Is(err, context.Canceled) || len(got) > 0 {
		t.Errorf("Scan: %q, %v, want context.Canceled", got, err)
	}
	same(t, "after it", []string{"a=1"}, pairs(t, kv, store.Range{}))
}
