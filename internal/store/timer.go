package store

import (
	"context"
	"fmt"
	"iter"

	"github.com/flawless-engine/flawless/internal/store/key"
	"github.com/flawless-engine/flawless/internal/store/kv"
)

// Timer is the next time at which a run must be woken.
type Timer struct {
	ID   string // of the run
	Wake int64  // Unix nanoseconds
}

// Timers yields the timers in some shards from one time (inclusive) until another (exclusive), sorted by Wake and then by
// ID. It sees everything that was durable when it was called. It stops after an error.
func (s *Store) Timers(ctx context.Context, from, until int64, shards []Shard) iter.Seq2[Timer, error] {
	return func(yield func(Timer, error) bool) {
		if from >= until {
			return
		}
		for item, err := range kv.Merged(ctx, s.kv, key.Timer, shards, key.Key(nil).Moment(from), key.Key(nil).Moment(until)) {
			var t Timer
			if err == nil {
				p := key.SplitOwned(item.Key)
				t.Wake = p.Moment()
				t.ID = p.Text()
				err = p.Whole(item.Key)
			}
			if err != nil {
				yield(Timer{}, fmt.Errorf("listing timers: %w", err))
				return
			}
			if !yield(t, nil) {
				return
			}
		}
	}
}
