package store

import (
	"context"
	"fmt"
	"iter"
)

// Timer is the next time at which a run must be woken.
type Timer struct {
	ID   string // of the run
	Wake int64  // Unix nanoseconds
}

// Timers yields the timers from one time (inclusive) until another (exclusive), sorted by Wake and then by ID. A timer
// that is set or removed meanwhile may be among them. It stops after an error.
func (s *Store) Timers(ctx context.Context, from, until int64) iter.Seq2[Timer, error] {
	return func(yield func(Timer, error) bool) {
		r := Range{From: key(nil).family(familyTimer).moment(from), To: key(nil).family(familyTimer).moment(until)}
		if from >= until {
			return
		}
		for item, err := range s.kv.Scan(ctx, r) {
			var t Timer
			if err == nil {
				p := parts{rest: item.Key}
				p.skip(1)
				t.Wake = p.moment()
				t.ID = p.text()
				err = p.whole(item.Key)
			}
			if err != nil {
				yield(Timer{}, fmt.Errorf("listing timers: %w", err))
				return
			}
			if !yield(t, nil) {
				return
			}
		}
	}
}
