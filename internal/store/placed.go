package store

import (
	"context"
	"fmt"
	"iter"
)

const familyPlaced family = 'G'

// Placed yields the ids of the open runs with a concurrency key in some shards, sorted by shard and then by key. It stops
// after an error.
func (s *Store) Placed(ctx context.Context, shards []Shard) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for item, err := range s.perShard(ctx, familyPlaced, shards) {
			var id string
			if err == nil {
				p := parts{rest: item.Key}
				p.skip(2)
				_ = p.text()
				id = p.text()
				err = p.whole(item.Key)
			}
			if err != nil {
				yield("", fmt.Errorf("listing runs with a concurrency key: %w", err))
				return
			}
			if !yield(id, nil) {
				return
			}
		}
	}
}
