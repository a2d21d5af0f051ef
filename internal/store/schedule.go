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
	var all []flawless.Schedule
	for item, err := range s.kv.Scan(ctx, key(nil).family(familySchedule).all()) {
		var one flawless.Schedule
		if err == nil {
			err = s.codec.decode(item.Value, &one)
		}
		if err != nil {
			return nil, fmt.Errorf("reading schedules: %w", err)
		}
		all = append(all, one)
	}
	return all, nil
}

// PutSchedule keeps a schedule, or removes it where after is nil. before is what is stored, nil where
// there is none. It returns [flawless.Fenced] where l is not the lease that holds or the schedule is
// not as it was before; nothing has changed then. After a crash in the middle it is there whole, as it
// was or as it is.
func (s *Store) PutSchedule(ctx context.Context, l Lease, name string, before, after *flawless.Schedule) error {
	d := s.draft()
	defer s.release(d)
	row, err := s.leased(l)
	if err != nil {
		return err
	}
	d.batch.Expect = append(d.batch.Expect, row)
	k := keySchedule(name)
	if before == nil {
		d.absent(k)
	} else {
		err = d.expect(s.codec, k, before)
	}
	if err == nil && after != nil {
		err = d.set(s.codec, k, after)
	}
	if after == nil {
		d.delete(k)
	}
	if err == nil {
		err = s.kv.Apply(ctx, &d.batch)
	}
	if err != nil {
		return fmt.Errorf("writing schedule %s: %w", name, err)
	}
	return nil
}
