package kv

import (
	"context"
	"fmt"
	"iter"

	"github.com/flawless-engine/flawless"
)

// KV is what the store needs of a database: an ordered map of bytes to bytes.
//
// All methods may be called concurrently. After an error other than [flawless.NotFound], [flawless.Fenced] and
// [flawless.Full], it is unknown whether the operation took effect, and the caller must read to find out.
type KV interface {
	// Get returns the value of a key, or flawless.NotFound. The caller owns the value. It is on stable storage: a
	// write whose Apply has not returned is not visible while a crash could still undo it.
	Get(ctx context.Context, key []byte) ([]byte, error)

	// Scan yields the items of a range in the order of their keys, as they are on stable storage. A scan of at most
	// [SnapshotItems] items and [SnapshotBytes] bytes of values is from one consistent snapshot. A longer one may be
	// read in pages with a snapshot each: an item that does not change meanwhile is yielded once; of a batch that is
	// applied meanwhile, a part may be visible. The slices of an item are valid until the next item is yielded. It
	// stops after an error.
	Scan(ctx context.Context, r Range) iter.Seq2[Item, error]

	// Apply applies a batch atomically. If it returns nil, the batch is on stable storage. If an expectation does
	// not hold, it returns flawless.Fenced; if there is no space, flawless.Full; both change nothing. Batches that a
	// goroutine applies one after another become durable in that order. The slices of the batch must not change
	// until Apply returns. A crash leaves all of the batch or nothing.
	Apply(ctx context.Context, b *Batch) error

	// Close waits for running operations and closes the database. No method may be called afterwards.
	Close() error
}

// What a scan is sure to yield from one snapshot.
const (
	SnapshotItems = 500
	SnapshotBytes = 1 << 20
)

// Item is a key and its value.
type Item struct{ Key, Value []byte }

// Range selects the keys From (inclusive) to To (exclusive; nil is the end), at most Limit unless that is zero.
type Range struct {
	From, To []byte
	Reverse  bool // descending order
	Limit    int
}

// Batch is a set of changes that depend on expectations. Keys have at least one byte. A batch sets or deletes a key at
// most once. The zero value is an empty batch.
type Batch struct {
	Expect []Item   // each key must have exactly this value; nil means that it must not exist
	Set    []Item   // set these
	Delete [][]byte // delete these if they exist
}

// Check returns [flawless.Invalid] if the batch has an empty key, which databases need not support.
func (b *Batch) Check() error {
	for _, item := range b.Set {
		if len(item.Key) == 0 {
			return fmt.Errorf("a batch sets the empty key: %w", flawless.Invalid)
		}
	}
	for _, k := range b.Delete {
		if len(k) == 0 {
			return fmt.Errorf("a batch deletes the empty key: %w", flawless.Invalid)
		}
	}
	return nil
}
