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

// Apply implements store.KV. It does not look at ctx once the batch is handed over.
//
// Batches are checked and written to Pebble's log one after another, each on top of those before it
// whether they are synced or not, and wait for their sync together: one sync serves all that
// came while the one before was under way. As the log is one sequence, a batch that survives a
// crash has all those before it under its feet.
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
		// The answer rests on what this batch saw: it must not be given before that is synced.
		return errors.Join(db.gate.wait(ctx, n), err, pb.Close())
	}
	if err != nil {
		return err // pb is left to the garbage collector: Pebble may still hold it
	}
	if err := pb.SyncWait(); err != nil {
		db.fail(err, false)
	}
	if err := db.gate.pass(n); err != nil {
		return err
	}
	return pb.Close()
}

// hand checks a batch and hands it to Pebble. It returns the number of the newest batch handed over.
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
	// Readers see the batch before Pebble returns, so its keys are marked before that.
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

// places is how many the table of touched keys has. Readers of keys that share one wait for each
// other's sync, no more.
const places = 1 << 14

// touch returns where the number of the newest batch is kept that changed a key.
func (db *DB) touch(key []byte) *atomic.Uint64 {
	return &db.touched[maphash.Bytes(db.seed, key)%places]
}
