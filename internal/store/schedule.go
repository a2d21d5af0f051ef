package store

import (
	"context"
	"fmt"

	"github.com/flawless-engine/flawless"
)

const familySchedule family = 'C'

func keySchedule(name string) key { return key(nil).family(familySchedule).text(name) }

// Schedules returns all schedules in the order of their names.
func (s *Store) Schedules(ctx context.Context) ([]flawless.Schedule, error) {
	return every[flawless.Schedule](ctx, s, familySchedule, "schedules")
}

// PutSchedule keeps a schedule, or removes it where after is nil. before is what is stored, nil where
// there is none. It returns [flawless.Fenced] where l is not the lease that holds, [flawless.Conflict]
// where the schedule is not as it was before; nothing has changed then. After a crash in the middle it
// is there whole, as it was or as it is.
func (s *Store) PutSchedule(ctx context.Context, l Lease, name string, before, after *flawless.Schedule) error {
	err := s.under(ctx, l, func(d *draft) error { return change(s.codec, d, keySchedule(name), before, after) })
	if err != nil {
		return fmt.Errorf("writing schedule %s: %w", name, err)
	}
	return nil
}
