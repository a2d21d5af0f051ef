// Package mem implements store.KV in memory, for tests and experiments.
//
// It hides an immutable tree, so that readers see a consistent snapshot without a lock, and a copy of the whole database
// costs nothing. It guarantees everything that store.KV requires except durability: the data ends with the process.
package mem

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
)

// DB is a store.KV in memory. The zero value is an empty database.
type DB struct {
	mu     sync.Mutex // held while root is replaced
	root   atomic.Pointer[node]
	full   atomic.Bool
	closed atomic.Bool
}

// New returns an empty database.
func New() *DB { return &DB{} }

// Clone returns a separate database with the current content of db, which is what a crash would leave. It takes constant
// time, and may be called after Close.
func (db *DB) Clone() *DB {
	c := New()
	c.root.Store(db.root.Load())
	return c
}

// SetFull sets whether the database reports that it is full (see store.Spacer). Apply still works then, like with a reserve
// for work in progress.
func (db *DB) SetFull(full bool) { db.full.Store(full) }

// Full implements store.Spacer.
func (db *DB) Full() (bool, string) {
	if db.full.Load() {
		return true, "the in-memory database is set to report a full disk"
	}
	return false, ""
}

// Get implements store.KV.
func (db *DB) Get(ctx context.Context, key []byte) ([]byte, error) {
	if err := db.ready(ctx); err != nil {
		return nil, fmt.Errorf("reading key %q: %w", key, err)
	}
	if n := db.root.Load().find(key); n != nil {
		return append([]byte{}, n.value...), nil
	}
	return nil, fmt.Errorf("key %q: %w", key, flawless.NotFound)
}

// Scan implements store.KV.
func (db *DB) Scan(ctx context.Context, r store.Range) iter.Seq2[store.Item, error] {
	return func(yield func(store.Item, error) bool) {
		left := r.Limit
		var failed error
		visit := func(n *node) bool {
			if failed = db.ready(ctx); failed != nil {
				return false
			}
			// Copies, so that callers may change them.
			item := store.Item{Key: bytes.Clone(n.key), Value: append([]byte{}, n.value...)}
			left--
			return yield(item, nil) && left != 0
		}
		if failed = db.ready(ctx); failed == nil {
			db.root.Load().walk(r, visit)
		}
		if failed != nil {
			yield(store.Item{}, fmt.Errorf("reading a range of keys: %w", failed))
		}
	}
}

// Apply implements store.KV. It checks ctx only at the start.
func (db *DB) Apply(ctx context.Context, b *store.Batch) error {
	db.mu.Lock()
	defer db.mu.Unlock()
	if err := cmp.Or(db.ready(ctx), b.Check()); err != nil {
		return fmt.Errorf("applying a batch: %w", err)
	}
	root := db.root.Load()
	for _, want := range b.Expect {
		n := root.find(want.Key)
		if (n == nil) != (want.Value == nil) || n != nil && !bytes.Equal(n.value, want.Value) {
			return fmt.Errorf("applying a batch: key %q is not as expected: %w", want.Key, flawless.Fenced)
		}
	}
	for _, k := range b.Delete {
		root = root.without(k)
	}
	for _, item := range b.Set {
		root = root.with(newNode(item))
	}
	db.root.Store(root)
	return nil
}

// Close implements store.KV.
func (db *DB) Close() error {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.closed.Store(true)
	return nil
}

func (db *DB) ready(ctx context.Context) error {
	if db.closed.Load() {
		return fmt.Errorf("the database is closed: %w", flawless.Stopping)
	}
	return ctx.Err()
}
