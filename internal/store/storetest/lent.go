package storetest

import (
	"bytes"
	"context"
	"iter"
	"testing"

	"github.com/flawless-engine/flawless/internal/store"
)

// Lent returns a KV on kv that overwrites memory which callers must not keep: an item of a scan when the next one is
// requested or the scan ends, and the slices of a batch when Apply returns.
func Lent(kv store.KV) store.KV { return &lent{kv} }

type lent struct{ kv store.KV }

// Get implements store.KV.
func (l *lent) Get(ctx context.Context, key []byte) ([]byte, error) { return l.kv.Get(ctx, key) }

// Scan implements store.KV.
func (l *lent) Scan(ctx context.Context, r store.Range) iter.Seq2[store.Item, error] {
	return func(yield func(store.Item, error) bool) {
		for item, err := range l.kv.Scan(ctx, r) {
			own := store.Item{Key: bytes.Clone(item.Key), Value: bytes.Clone(item.Value)}
			more := yield(own, err)
			overwrite(own.Key)
			overwrite(own.Value)
			if !more {
				return
			}
		}
	}
}

// Apply implements store.KV.
func (l *lent) Apply(ctx context.Context, b *store.Batch) error {
	err := l.kv.Apply(ctx, b)
	for _, item := range b.Set {
		overwrite(item.Key)
		overwrite(item.Value)
	}
	for _, key := range b.Delete {
		overwrite(key)
	}
	return err
}

// Close implements store.KV.
func (l *lent) Close() error { return l.kv.Close() }

// Failed implements store.Failer.
func (l *lent) Failed() error {
	if f, ok := l.kv.(store.Failer); ok {
		return f.Failed()
	}
	return nil
}

// Full implements store.Spacer.
func (l *lent) Full() (bool, string) {
	if s, ok := l.kv.(store.Spacer); ok {
		return s.Full()
	}
	return false, ""
}

func overwrite(b []byte) {
	for i := range b {
		b[i] = '#'
	}
}

// testMemory checks that a KV copies the slices of a batch and the values that it returns.
func testMemory(t *testing.T, open func(t *testing.T) store.KV) {
	kv := opener(open).opened(t)
	for _, n := range []int{1, 100, 1 << 20} {
		key, value := bytes.Repeat([]byte("k"), min(n, 100)), bytes.Repeat([]byte("v"), n)
		b := set(store.Item{Key: bytes.Clone(key), Value: bytes.Clone(value)})
		if err := kv.Apply(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		overwrite(b.Set[0].Key)
		overwrite(b.Set[0].Value)
		for range 2 { // the second time after the first result was overwritten
			got, err := kv.Get(t.Context(), key)
			if err != nil || !bytes.Equal(got, value) {
				t.Errorf("a value of %d bytes has changed: %.20q, %v", n, got, err)
			}
			overwrite(got)
		}
	}
}
