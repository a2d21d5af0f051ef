package store

import (
	"context"
	"fmt"
	"iter"
)

const familyPlaced family = 'G'

// Placed yields the ids of the open runs with a concurrency key, sorted by key. A run that starts or ends meanwhile may
// be among them. It stops after an error.
func (s *Store) Placed(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for item, err := range s.kv.Scan(ctx, key(nil).family(familyPlaced).all()) {
			var id string
			if err == nil {
				p := parts{rest: item.Key}
				p.skip(1)
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
