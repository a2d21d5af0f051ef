package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store/key"
)

func keyLimit(host string) key.Key { return key.Limit.Named(KindHost, host) }

// Limits returns the rate limits of all hosts, sorted by host.
func (s *Store) Limits(ctx context.Context) ([]flawless.Limit, error) {
	all, err := every[flawless.Limit](ctx, s, key.Limit, "limits")
	slices.SortFunc(all, func(a, b flawless.Limit) int { return cmp.Compare(a.Host, b.Host) })
	return all, err
}

// Limit returns the rate limit of a host, or [flawless.NotFound].
func (s *Store) Limit(ctx context.Context, host string) (l flawless.Limit, err error) {
	err = s.get(ctx, keyLimit(host), &l, "limit for host %s", host)
	return l, err
}

// PutLimit stores the rate limit of a host, or removes it if after is nil. before is the stored limit, or nil if there is
// none. It returns [flawless.Conflict] if another one is stored, and [flawless.Fenced] if l owns no shard; nothing has
// changed then. A crash in the middle leaves the old or the new limit.
func (s *Store) PutLimit(ctx context.Context, l *Lease, host string, before, after *flawless.Limit) error {
	err := s.underAny(ctx, l, func(d *draft) error {
		if err := change(s.codec, d, keyLimit(host), before, after); err != nil {
			return err
		}
		if before != nil && after != nil && before.Equals(*after) {
			return nil // permits were taken
		}
		return d.changed(s.codec, ChangedLimits)
	})
	if err != nil {
		return fmt.Errorf("writing the limit of %s: %w", host, err)
	}
	return nil
}
