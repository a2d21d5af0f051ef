package store

import (
	"context"
	"fmt"
	"iter"

	"github.com/flawless-engine/flawless/internal/store/key"
)

// Grants yields the ids of the runs that the owner of [ShardOfCaps] has admitted, sorted. It stops after an error.
func (s *Store) Grants(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for item, err := range s.kv.Scan(ctx, withPrefix(key.Grant.Key())) {
			id := ""
			if err == nil {
				p := key.Split(item.Key, 1)
				id = p.Text()
				err = p.Whole(item.Key)
			}
			if err != nil {
				yield("", fmt.Errorf("listing admitted runs: %w", err))
				return
			}
			if !yield(id, nil) {
				return
			}
		}
	}
}

// PutGrants records that runs are admitted. It returns [flawless.Fenced] if l does not own [ShardOfCaps]. A crash in the
// middle leaves all of them admitted, or none.
func (s *Store) PutGrants(ctx context.Context, l *Lease, runs ...string) error {
	err := s.under(ctx, l, ShardOfCaps, func(d *draft) error {
		for _, id := range runs {
			d.put(d.key(key.Grant).Text(id))
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("recording that runs are admitted: %w", err)
	}
	return nil
}

// DropGrants forgets that runs were admitted, because they have ended. It returns [flawless.Fenced] if l does not own
// [ShardOfCaps].
func (s *Store) DropGrants(ctx context.Context, l *Lease, runs ...string) error {
	err := s.under(ctx, l, ShardOfCaps, func(d *draft) error {
		for _, id := range runs {
			d.delete(d.key(key.Grant).Text(id))
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("forgetting that runs were admitted: %w", err)
	}
	return nil
}
