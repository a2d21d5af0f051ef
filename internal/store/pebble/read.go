package pebble

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"

	cockroach "github.com/cockroachdb/pebble/v2"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
)

// Get implements store.KV. It waits for the sync of the newest write of the key.
func (db *DB) Get(ctx context.Context, key []byte) ([]byte, error) {
	value, err := db.get(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("key %q: %w", key, err)
	}
	return value, nil
}

func (db *DB) get(ctx context.Context, key []byte) ([]byte, error) {
	if err := db.ready(ctx); err != nil {
		return nil, err
	}
	var value []byte
	found, closer, err := db.kv.Get(key)
	if err == nil {
		value = append([]byte{}, found...)
		err = closer.Close()
	}
	// The value is from the write that is marked here or from an earlier one, so wait for this one.
	if err := db.durable.wait(ctx, db.touch(key).Load()); err != nil {
		return nil, err
	}
	if errors.Is(err, cockroach.ErrNotFound) {
		return nil, flawless.NotFound
	}
	return value, explained(err)
}

// Scan implements store.KV. It waits once, at the start, until everything that it can see is synced.
func (db *DB) Scan(ctx context.Context, r store.Range) iter.Seq2[store.Item, error] {
	return func(yield func(store.Item, error) bool) {
		if err := db.scan(ctx, r, yield); err != nil {
			yield(store.Item{}, fmt.Errorf("reading a range of keys: %w", explained(err)))
		}
	}
}

// scan returns nil if yield stops it.
func (db *DB) scan(ctx context.Context, r store.Range, yield func(store.Item, error) bool) (err error) {
	if err := db.ready(ctx); err != nil {
		return err
	}
	if r.To != nil && bytes.Compare(r.From, r.To) >= 0 {
		return nil
	}
	bounds := &cockroach.IterOptions{UpperBound: r.To}
	if len(r.From) > 0 { // Pebble does not accept empty bounds
		bounds.LowerBound = r.From
	}
	it, err := db.kv.NewIterWithContext(ctx, bounds)
	if err != nil {
		return err
	}
	stopped := false
	defer func() {
		if e := it.Close(); err == nil && !stopped {
			err = e
		}
	}()
	if err := db.durable.wait(ctx, db.started.Load()); err != nil {
		return err
	}
	first, next := it.First, it.Next
	if r.Reverse {
		first, next = it.Last, it.Prev
	}
	n := 0
	for ok := first(); ok; ok = next() {
		if err := ctx.Err(); err != nil {
			return err
		}
		value, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		n++
		if !yield(store.Item{Key: it.Key(), Value: value}, nil) {
			stopped = true
			return nil
		}
		if n == r.Limit {
			return nil
		}
	}
	return it.Error()
}
