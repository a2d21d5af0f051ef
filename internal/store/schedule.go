package store

import (
	"context"
	"fmt"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store/key"
)

func keySchedule(name string) key.Key { return key.Schedule.Named(KindSchedule, name) }

// Schedules returns the schedules in some shards, sorted by name.
func (s *Store) Schedules(ctx context.Context, shards []Shard) ([]flawless.Schedule, error) {
	return owned[flawless.Schedule](ctx, s, key.Schedule, shards, "schedules")
}

// PutSchedule stores a schedule, or removes it if after is nil. before is the stored schedule, or nil if there is none.
// It returns [flawless.Fenced] if l does not own its shard, and [flawless.Conflict] if the stored schedule is another
// one; nothing has changed then. A crash in the middle leaves the old or the new schedule.
func (s *Store) PutSchedule(ctx context.Context, l *Lease, name string, before, after *flawless.Schedule) error {
	err := s.under(ctx, l, ShardOfName(KindSchedule, name), func(d *draft) error { return change(s.codec, d, keySchedule(name), before, after) })
	if err != nil {
		return fmt.Errorf("writing schedule %s: %w", name, err)
	}
	return nil
}
