// Package storetest is the conformance suite for implementations of store.KV, and has special KVs for tests.
//
// The test of a KV only calls [Run]. [Dying] is a KV that fails at the Nth write, [Counting] counts the writes, [Lent]
// overwrites memory that callers must not keep, and [Paged] reads long ranges in pages. The package never sleeps.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
)

// Run runs the whole suite, for store.KV and for store.Store on top of it. open returns a new, empty database each time.
// The suite closes it. The cases run in parallel.
func Run(t *testing.T, open func(t *testing.T) store.KV) {
	for _, area := range areas {
		t.Run(area.name, func(t *testing.T) {
			t.Parallel()
			area.test(t, open)
		})
	}
}

type opener func(t *testing.T) store.KV

var areas = []struct {
	name string
	test func(t *testing.T, open func(t *testing.T) store.KV)
}{
	{"get", testGet},
	{"scan", testScan},
	{"scan sees one moment", testScanMoment},
	{"apply is atomic", testApply},
	{"expectations", testExpect},
	{"expectations again and again", testExpectAgain},
	{"expectations of nothing", testExpectNothing},
	{"one of many wins", testRace},
	{"order", testOrder},
	{"large values", testLarge},
	{"memory", testMemory},
	{"context", testContext},
	{"format", testFormat},
	{"lease", testLease},
	{"all is written under the lease", testFence},
	{"some shards are claimed", testClaimOfSome},
	{"two owners", testTwoOwners},
	{"a node takes over from one that has stopped", testTakeOver},
	{"nodes give up and claim shards", testFree},
	{"settings of two owners", testSharedSettings},
	{"runs", testRuns},
	{"log", testLog},
	{"long logs that change", testLongLog},
	{"lists", testLists},
	{"lists that change", testListWhileChanging},
	{"pages", testPages},
	{"filters", testFilters},
	{"pages of much work", testMuchWork},
	{"removal", testRemoval},
	{"timers", testTimers},
	{"order over shards", testOrderOverShards},
	{"longest keys", testLongestKeys},
	{"active", testActive},
	{"modules", testModules},
	{"large modules", testLargeModules},
	{"large modules", testLargeModules},
	{"damage", testDamage},
}

// opened returns a database, and closes it at the end of the test.
func (open opener) opened(t *testing.T) store.KV {
	t.Helper()
	kv := open(t)
	t.Cleanup(func() {
		if err := kv.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	return kv
}

func item(key, value string) store.Item { return store.Item{Key: []byte(key), Value: []byte(value)} }

// keyOf returns a key, or prefix of keys, of a run.
func keyOf(family byte, run string) []byte {
	return append([]byte{family, byte(store.ShardOf(run))}, run+"\x00\x01"...)
}

// absent is the expectation that a key does not exist.
func absent(key string) store.Item { return store.Item{Key: []byte(key)} }

func set(items ...store.Item) *store.Batch { return &store.Batch{Set: items} }

func apply(t testing.TB, kv store.KV, b *store.Batch) {
	t.Helper()
	own := &store.Batch{Expect: b.Expect} // a copy, because [Lent] overwrites its arguments
	for _, item := range b.Set {
		own.Set = append(own.Set, store.Item{Key: bytes.Clone(item.Key), Value: append([]byte{}, item.Value...)})
	}
	for _, key := range b.Delete {
		own.Delete = append(own.Delete, bytes.Clone(key))
	}
	if err := kv.Apply(t.Context(), own); err != nil {
		t.Fatalf("Apply: %v", err)
	}
}

// pairs returns the items of a range as "key=value".
func pairs(t testing.TB, kv store.KV, r store.Range) []string {
	t.Helper()
	got, err := list(t.Context(), kv, r)
	if err != nil {
		t.Fatalf("Scan: %v", err)
	}
	return got
}

func list(ctx context.Context, kv store.KV, r store.Range) (got []string, err error) {
	for it, err := range kv.Scan(ctx, r) {
		if err != nil {
			return got, err
		}
		got = append(got, fmt.Sprintf("%s=%s", it.Key, it.Value))
	}
	return got, nil
}

func same(t testing.TB, what string, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s differs (-want +got):\n%s", what, diff)
	}
}

func code(t testing.TB, what string, err error, want flawless.Code) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %s", what, err, want)
	}
}
