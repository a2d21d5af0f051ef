package store

import (
	"context"
	"fmt"

	"github.com/flawless-engine/flawless"
)

const familyLimit family = 'H'

// Limits returns all limits, by host.
func (s *Store) Limits(ctx context.Context) ([]flawless.Limit, error) {
	var all []flawless.Limit
	for item, err := range s.kv.Scan(ctx, key(nil).family(familyLimit).all()) {
		var one flawless.Limit
		if err == nil {
			err = s.codec.decode(item.Value, &one)
		}
		if err != nil {
			return nil, fmt.Errorf("reading limits: %w", err)
		}
		all = append(all, one)
	}
	return all, nil
}

// PutLimit keeps the limit of a host, or removes it where limit is nil. It returns [flawless.Fenced]
// where l is not the lease that holds. A crash in the middle leaves the old limit or the new.
func (s *Store) PutLimit(ctx context.Context, l Lease, host string, limit *flawless.Limit) error {
	err := s.under(ctx, l, func(d *draft) error {
		k := key(nil).family(familyLimit).text(host)
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
