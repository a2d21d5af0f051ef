package store

import (
	"context"
	"fmt"
	"iter"

	"github.com/flawless-engine/flawless"
)

// KV is all that is asked of a database. It is an ordered map of bytes to bytes.
//
// All methods may be called concurrently. An error that is none of [flawless.NotFound],
// [flawless.Fenced] and [flawless.Full] means that nobody knows whether the operation took effect;
// the caller must read before it goes on.
type KV interface {
	// Get returns the value under key, or flawless.NotFound. The value is the caller's to keep.
	// What it returns is on stable storage: it never shows a write whose Apply has not returned
	// and that a crash could still undo.
	Get(ctx context.Context, key []byte) ([]byte, error)

	// Scan yields the items of a range in order of their keys, as they were at one moment, with
	// the same promise as Get. The slices of an item are valid until the next one is yielded.
	// After an error it yields nothing more.
	Scan(ctx context.Context, r Range) iter.Seq2[Item, error]

	// Apply carries out a batch: all of it or nothing, and on stable storage when it returns nil.
	// If an expectation does not hold it returns flawless.Fenced and has changed nothing. If there
	// is no space it returns flawless.Full and has changed nothing. Batches that one goroutine
	// applies one after another become durable in that order. A batch's slices must not be
	// changed until Apply returns. After a crash during Apply the batch is there whole or not at all.
	Apply(ctx context.Context, b *Batch) error

	// Close waits for what is under way and gives the database back. Nothing may be called after it.
	Close() error
}

// Item is a key with its value.
type Item struct{ Key, Value []byte }

// Range is the keys from From (inclusive) to To (exclusive; nil is the end), at most Limit of them
// where Limit is not zero.
type Range struct {
	From, To []byte
	Reverse  bool // from the end to the start
	Limit    int
}

// Batch is what one Apply changes, and under which condition. Keys have at least one byte. Within a
// batch a key is set or deleted at most once. The zero value is empty and ready to use.
type Batch struct {
	Expect []Item   // each key holds exactly this value; a nil value means the key is absent
	Set    []Item   // put these
	Delete [][]byte // remove these, if they are there
}

// Check returns [flawless.Invalid] if the batch has an empty key, which no database is asked to hold.
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
