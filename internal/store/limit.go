package store

import (
	"context"
	"fmt"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store/key"
)

// Limits returns the rate limits of hosts in some shards, sorted by host.
func (s *Store) Limits(ctx context.Context, shards []Shard) ([]flawless.Limit, error) {
	return owned[flawless.Limit](ctx, s, key.Limit, shards, "limits")
}

// PutLimit stores the rate limit of a host, or removes it if limit is nil. It returns [flawless.Fenced] if l does not own
// its shard. A crash in the middle leaves the old or the new limit.
func (s *Store) PutLimit(ctx context.Context, l *Lease, host string, limit *flawless.Limit) error {
	err := s.under(ctx, l, ShardOfName(KindHost, host), func(d *draft) error {
		k := key.Limit.Named(KindHost, host)
		if limit == nil {
			d.delete(k)
			return nil
		}
		return d.set(s.codec, k, limit)
	})
	if err != nil {
		return fmt.Errorf("writing the limit of %s: %w", host, err)
	}
	return nil
}
