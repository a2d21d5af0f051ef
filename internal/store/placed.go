package store

import (
	"context"
	"fmt"
	"iter"

	"github.com/flawless-engine/flawless/internal/store/key"
	"github.com/flawless-engine/flawless/internal/store/kv"
)

// Placed yields the ids of the open runs with a concurrency key in some shards, sorted by shard and then by key. A
// run that starts or ends meanwhile may be among them. It stops after an error.
func (s *Store) Placed(ctx context.Context, shards []Shard) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for item, err := range kv.Shards(ctx, s.kv, key.Placed, shards) {
			var id string
			if err == nil {
				p := key.SplitOwned(item.Key)
				_ = p.Text()
				id = p.Text()
				err = p.Whole(item.Key)
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
