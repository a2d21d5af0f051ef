package store

import (
	"context"
	"fmt"

	"github.com/flawless-engine/flawless"
)

const familyHost family = 'O'

// Hosts returns the settings of all hosts that have any, by host.
func (s *Store) Hosts(ctx context.Context) ([]flawless.Host, error) {
	var all []flawless.Host
	for item, err := range s.kv.Scan(ctx, key(nil).family(familyHost).all()) {
		var one flawless.Host
		if err == nil {
			err = s.codec.decode(item.Value, &one)
		}
		if err != nil {
			return nil, fmt.Errorf("reading the settings of hosts: %w", err)
		}
		all = append(all, one)
	}
	return all, nil
}

// PutHost keeps the settings of a host, or removes them where set is nil. It returns [flawless.Fenced] where
// l is not the lease that holds. A crash in the middle leaves the old settings or the new.
func (s *Store) PutHost(ctx context.Context, l Lease, host string, set *flawless.Host) error {
	err := s.under(ctx, l, func(d *draft) error {
		k := key(nil).family(familyHost).text(host)
		if set == nil {
			d.delete(k)
			return nil
		}
		return d.set(s.codec, k, set)
	})
	if err != nil {
		return fmt.Errorf("writing the settings of host %s: %w", host, err)
	}
	return nil
}
