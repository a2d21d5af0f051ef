package store

import (
	"context"
	"fmt"

	"github.com/flawless-engine/flawless"
)

const familyHost family = 'O'

// Hosts returns the settings of all hosts that have any, sorted by host.
func (s *Store) Hosts(ctx context.Context) ([]flawless.Host, error) {
	return every[flawless.Host](ctx, s, familyHost, "the settings of hosts")
}

// PutHost stores the settings of a host, or removes them if set is nil. It returns [flawless.Fenced] if l is not the
// current lease. A crash in the middle leaves the old or the new settings.
func (s *Store) PutHost(ctx context.Context, l Lease, host string, set *flawless.Host) error {
	if err := keep(ctx, s, l, key(nil).family(familyHost).text(host), set); err != nil {
		return fmt.Errorf("writing the settings of host %s: %w", host, err)
	}
	return nil
}
