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

// PutLimit keeps the limit of a host, or removes it where l is nil.
func (s *Store) PutLimit(ctx context.Context, host string, l *flawless.Limit) error {
	d := s.draft()
	defer s.release(d)
	k := key(nil).family(familyLimit).text(host)
	var err error
	if l == nil {
		d.delete(k)
	} else {
		err = d.set(s.codec, k, l)
	}
	if err == nil {
		err = s.kv.Apply(ctx, &d.batch)
	}
	if err != nil {
		return fmt.Errorf("writing the limit of %s: %w", host, err)
	}
	return nil
}
