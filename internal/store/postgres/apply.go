package postgres

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
)

// maxKey is the maximum length of a key. PostgreSQL's indexes take 2,704 bytes with what is around it.
const maxKey = 2600

// Apply implements store.KV. If ctx ends before the batch is sent, it changes nothing. If ctx ends later, Apply waits for
// a few seconds, and then returns an error that wraps no code; readers wait until the outcome is known.
func (db *DB) Apply(ctx context.Context, b *store.Batch) error {
	_, err := db.ApplyAt(ctx, b)
	return err
}

// ApplyAt implements store.Numbered.
func (db *DB) ApplyAt(ctx context.Context, b *store.Batch) (store.Position, error) {
	p, err := db.apply(ctx, b)
	if err != nil {
		return store.Position{}, fmt.Errorf("applying a batch: %w", err)
	}
	if p == nil {
		return store.Position{}, nil
	}
	return p.at, nil
}

// apply applies a batch, and returns it as it was written; nil if it was empty.
func (db *DB) apply(ctx context.Context, b *store.Batch) (*batch, error) {
	if err := cmp.Or(ctx.Err(), b.Check(), checkKeys(b)); err != nil {
		return nil, err
	}
	if len(b.Expect)+len(b.Set)+len(b.Delete) == 0 {
		return nil, db.Failed()
	}
	p := newBatch(b)
	if err := db.queue.put(p); err != nil {
		return nil, err
	}
	return p, db.await(ctx, p)
}

// await waits for the result of a batch in the queue.
func (db *DB) await(ctx context.Context, p *batch) error {
	select {
	case err := <-p.done:
		return err
	case <-ctx.Done():
	}
	if db.queue.withdraw(p) {
		select {
		case err := <-p.done: // it was answered without a lane
			return err
		default:
			return ctx.Err()
		}
	}
	late := time.NewTimer(db.o.grace)
	defer late.Stop()
	select {
	case err := <-p.done:
		return err
	case <-late.C:
	}
	if !db.queue.abandon(p) {
		return <-p.done
	}
	return fmt.Errorf("the database has not answered, so it is unknown whether the batch took effect: %w", ctx.Err())
}

// checkKeys returns [flawless.TooLarge] if a key does not fit into an index.
func checkKeys(b *store.Batch) error {
	for _, it := range b.Set {
		if len(it.Key) > maxKey {
			return fmt.Errorf("a key has %d bytes, the database takes at most %d: %w", len(it.Key), maxKey, flawless.TooLarge)
		}
	}
	return nil
}
