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
	if err := db.apply(ctx, b); err != nil {
		return fmt.Errorf("applying a batch: %w", err)
	}
	return nil
}

func (db *DB) apply(ctx context.Context, b *store.Batch) error {
	if err := cmp.Or(ctx.Err(), b.Check(), checkKeys(b)); err != nil {
		return err
	}
	if len(b.Expect)+len(b.Set)+len(b.Delete) == 0 {
		return db.Failed()
	}
	p := newBatch(b)
	if err := db.queue.put(p); err != nil {
		return err
	}
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
