package store

import (
	"context"
	"fmt"

	"github.com/flawless-engine/flawless"
)

const familyLimit family = 'H'

// Limits returns all rate limits, sorted by host.
func (s *Store) Limits(ctx context.Context) ([]flawless.Limit, error) {
	return every[flawless.Limit](ctx, s, familyLimit, "limits")
}

// PutLimit stores the rate limit of a host, or removes it if limit is nil. It returns [flawless.Fenced] if l is not the
// current lease. A crash in the middle leaves the old or the new limit.
func (s *Store) PutLimit(ctx context.Context, l Lease, host string, limit *flawless.Limit) error {
	if err := keep(ctx, s, l, key(nil).family(familyLimit).text(host), limit); err != nil {
		return fmt.Errorf("writing the limit of %s: %w", host, err)
	}
	return nil
}
