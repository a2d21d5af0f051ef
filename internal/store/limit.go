package store

import (
	"context"
	"fmt"

	"github.com/flawless-engine/flawless"
)

const familyLimit family = 'H'

// Limits returns all limits, by host.
func (s *Store) Limits(ctx context.Context) ([]flawless.Limit, error) {
	return every[flawless.Limit](ctx, s, familyLimit, "limits")
}

// PutLimit keeps the limit of a host, or removes it where limit is nil. It returns [flawless.Fenced]
// where l is not the lease that holds. A crash in the middle leaves the old limit or the new.
func (s *Store) PutLimit(ctx context.Context, l Lease, host string, limit *flawless.Limit) error {
	if err := keep(ctx, s, l, key(nil).family(familyLimit).text(host), limit); err != nil {
		return fmt.Errorf("writing the limit of %s: %w", host, err)
	}
	return nil
}
