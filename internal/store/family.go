package store

import (
	"context"
	"fmt"
)

// every returns all values of a family in the order of their keys. what is their name in errors.
func every[T any](ctx context.Context, s *Store, f family, what string) ([]T, error) {
	var all []T
	for item, err := range s.kv.Scan(ctx, key(nil).family(f).all()) {
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

// keep stores a value, or removes it if it is nil.
func keep[T any](ctx context.Context, s *Store, l Lease, k key, value *T) error {
	return s.under(ctx, l, func(d *draft) error {
		if value == nil {
			d.delete(k)
			return nil
		}
		return d.set(s.codec, k, value)
	})
}
