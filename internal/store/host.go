package store

import (
	"context"
	"fmt"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store/key"
)

// Hosts returns the settings of all hosts that have any, sorted by host.
func (s *Store) Hosts(ctx context.Context) ([]flawless.Host, error) {
	return every[flawless.Host](ctx, s, key.Host, "the settings of hosts")
}

// PutHost stores the settings of a host, or removes them if after is nil. before is the stored settings, or nil if there
// are none. It returns [flawless.Fenced] if l owns no shard any more, and [flawless.Conflict] if other settings are
// stored. A crash in the middle leaves the old or the new settings.
func (s *Store) PutHost(ctx context.Context, l *Lease, host string, before, after *flawless.Host) error {
	err := s.underAny(ctx, l, func(d *draft) error {
		if err := change(s.codec, d, key.Host.Key().Text(host), before, after); err != nil {
			return err
		}
		return d.changed(s.codec, ChangedHosts)
	})
	if err != nil {
		return fmt.Errorf("writing the settings of host %s: %w", host, err)
	}
	return nil
}
