package store

import (
	"context"
	"fmt"
	"iter"

	"github.com/flawless-engine/flawless/internal/store/key"
	"github.com/flawless-engine/flawless/internal/store/kv"
)

// every returns all values of a family in the order of their keys. what is their name in errors.
func every[T any](ctx context.Context, s *Store, f key.Family, what string) ([]T, error) {
	return decoded[T](s, s.kv.Scan(ctx, withPrefix(f.Key())), what)
}

// owned returns the values of a family in some shards, in the order of their names.
func owned[T any](ctx context.Context, s *Store, f key.Family, shards []Shard, what string) ([]T, error) {
	return decoded[T](s, kv.Merged(ctx, s.kv, f, shards, nil, nil), what)
}

func decoded[T any](s *Store, items iter.Seq2[Item, error], what string) ([]T, error) {
	var all []T
	for item, err := range items {
		var one T
		if err == nil {
			err = s.codec.Decode(item.Value, &one)
		}
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", what, err)
		}
		all = append(all, one)
	}
	return all, nil
}
