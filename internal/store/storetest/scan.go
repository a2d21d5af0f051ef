package storetest

import (
	"fmt"
	"testing"

	"github.com/flawless-engine/flawless/internal/store"
)

func testScan(t *testing.T, open func(t *testing.T) store.KV) {
	kv := opener(open).opened(t)
	apply(t, kv, set(item("b", "2"), item("a", "1"), item("d", "4"), item("c", "3"), item("\xff\xff", "6"), item("da", "5"), item("d\x00", "")))
	for _, c := range []struct {
		name     string
		from, to string // to "" is nil
		reverse  bool
		limit    int
		want     []string
	}{
		{name: "everything", want: []string{"a=1", "b=2", "c=3", "d=4", "d\x00=", "da=5", "\xff\xff=6"}},
		{name: "everything in reverse", reverse: true, want: []string{"\xff\xff=6", "da=5", "d\x00=", "d=4", "c=3", "b=2", "a=1"}},
		{name: "from is inclusive, to is exclusive", from: "b", to: "d", want: []string{"b=2", "c=3"}},
		{name: "the same in reverse", from: "b", to: "d", reverse: true, want: []string{"c=3", "b=2"}},
		{name: "bounds that are no keys", from: "aa", to: "cc", want: []string{"b=2", "c=3"}},
		{name: "at most two", limit: 2, want: []string{"a=1", "b=2"}},
		{name: "the last two", limit: 2, reverse: true, want: []string{"\xff\xff=6", "da=5"}},
		{name: "a limit above what there is", from: "da", limit: 9, want: []string{"da=5", "\xff\xff=6"}},
		{name: "up to the end", from: "da", want: []string{"da=5", "\xff\xff=6"}},
		{name: "nothing", from: "x", to: "y"},
		{name: "an empty range", from: "b", to: "b"},
		{name: "a range that ends before it begins", from: "c", to: "b"},
	} {
		r := store.Range{From: []byte(c.from), Reverse: c.reverse, Limit: c.limit}
		if c.to != "" {
			r.To = []byte(c.to)
		}
		same(t, c.name, c.want, pairs(t, kv, r))
	}
	n := 0
	for range kv.Scan(t.Context(), store.Range{}) {
		if n++; n == 2 {
			break
		}
	}
	same(t, "items until the reader stopped", 2, n)
}

func testScanMoment(t *testing.T, open func(t *testing.T) store.KV) {
	kv := opener(open).opened(t)
	const n = 300
	for i := range n {
		apply(t, kv, set(item(fmt.Sprintf("k%03d", i), "old")))
	}
	for _, reverse := range []bool{false, true} {
		seen := 0
		for it, err := range kv.Scan(t.Context(), store.Range{Reverse: reverse}) {
			if err != nil {
				t.Fatal(err)
			}
			if seen == 0 {
				apply(t, kv, &store.Batch{
					Set:    []store.Item{item("k150", "new"), item("k0005", "new"), item("k299x", "new")},
					Delete: [][]byte{[]byte("k200"), []byte("k100")},
				})
			}
			seen++
			if string(it.Value) != "old" {
				t.Errorf("reverse %v: a write during the scan is visible: %s=%s", reverse, it.Key, it.Value)
			}
			// It must be possible to read during a scan.
			if _, err := kv.Get(t.Context(), it.Key); seen < 3 && err != nil {
				t.Errorf("reading %s during the scan: %v", it.Key, err)
			}
		}
		same(t, "items seen", n, seen)
		apply(t, kv, &store.Batch{
			Set:    []store.Item{item("k150", "old"), item("k200", "old"), item("k100", "old")},
			Delete: [][]byte{[]byte("k0005"), []byte("k299x")},
		})
	}
}
