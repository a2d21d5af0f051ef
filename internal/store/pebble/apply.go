package pebble

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"sync/atomic"

	cockroach "github.com/cockroachdb/pebble/v2"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
)

// Apply implements store.KV. It ignores ctx once the batch is handed to Pebble.
//
// Batches are checked and written to Pebble's log one after another, each on top of earlier ones that may not be synced
// yet. They wait for their syncs together: one sync covers all batches that arrive during the previous one. Since the
// log is sequential, a batch that survives a crash depends only on batches that survive, too.
func (db *DB) Apply(ctx context.Context, b *store.Batch) error {
	if err := db.apply(ctx, b); err != nil {
		return fmt.Errorf("applying a batch: %w", err)
	}
	return nil
}

func (db *DB) apply(ctx context.Context, b *store.Batch) error {
	if err := db.writable(ctx); err != nil {
		return err
	}
	if err := b.Check(); err != nil {
		return err
	}
	if err := db.space.room(); err != nil {
		return err
	}
	pb := db.kv.NewBatch()
	for _, k := range b.Delete {
		if err := pb.Delete(k, nil); err != nil {
			return err
		}
	}
	for _, item := range b.Set {
		if err := pb.Set(item.Key, item.Value, nil); err != nil {
			return err
		}
	}
	empty := pb.Empty()
	n, err := db.hand(ctx, b, pb)
	if errors.Is(err, flawless.Fenced) || err == nil && empty {
		// The result depends on what this batch has read, so it must wait until that is synced.
		return errors.Join(db.durable.wait(ctx, n), err, pb.Close())
	}
	if err != nil {
		return err // do not close pb: Pebble may still use it
	}
	if err := pb.SyncWait(); err != nil {
		db.fail(err, false)
	}
	if err := db.durable.pass(n); err != nil {
		return err
	}
	return pb.Close()
}

// hand checks a batch and hands it to Pebble. It returns the number of the newest batch that Pebble has.
func (db *DB) hand(ctx context.Context, b *store.Batch, pb *cockroach.Batch) (uint64, error) {
	db.mu.Lock()
	defer db.mu.Unlock()
	if err := db.writable(ctx); err != nil {
		return 0, err
	}
	n := db.started.Load()
	if err := db.check(b.Expect); err != nil || pb.Empty() {
		return n, err
	}
	// Mark the keys first: readers may see the batch before Pebble returns.
	n++
	db.started.Store(n)
	for _, item := range b.Set {
		db.touch(item.Key).Store(n)
	}
	for _, k := range b.Delete {
		db.touch(k).Store(n)
	}
	err := guard(func() error { return db.kv.ApplyNoSyncWait(pb, cockroach.Sync) })
	if err != nil {
		db.fail(err, true)
	}
	return n, err
}

// check returns Fenced if an expectation does not hold. The caller holds mu.
func (db *DB) check(expect []store.Item) error {
	for _, want := range expect {
		value, closer, err := db.kv.Get(want.Key)
		switch {
		case errors.Is(err, cockroach.ErrNotFound):
			if want.Value == nil {
				continue
			}
		case err != nil:
			return explained(err)
		default:
			same := want.Value != nil && bytes.Equal(value, want.Value)
			if err := closer.Close(); err != nil {
				return err
			}
			if same {
				continue
			}
		}
		return fmt.Errorf("key %q is not as expected: %w", want.Key, flawless.Fenced)
	}
	return nil
}

// slots is the size of the table of changed keys. Readers of keys that share a slot wait for each other's sync, which
// does no harm.
const slots = 1 << 14

// touch returns the slot with the number of the newest batch that has changed a key.
func (db *DB) touch(key []byte) *atomic.Uint64 {
	return &db.touched[maphash.Bytes(db.seed, key)%slots]
}
