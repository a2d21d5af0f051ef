package engine

import (
	"context"
	"fmt"
	"slices"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
)

// mark is a place in a log where an image was made: the next record, and the turns before it.
type mark struct {
	seq  uint64
	turn int
	cost uint64
}

// keep writes an image that comes after so many turns. Where the run's module says how many turns of
// a log are kept, those before the latest mark that lets enough of them stay are removed with it.
func (r *run) keep(m store.Image, turn int) error {
	ctx := context.Background()
	r.mu.Lock()
	atLeast := r.e.settings.of(r.s.start.Module).KeepTurns
	r.mu.Unlock()
	if atLeast == 0 {
		r.mu.Lock()
		r.marks = nil
		r.mu.Unlock()
		return r.e.store.PutImage(ctx, r.e.lease, r.id, m)
	}
	last := -1
	for k, at := range r.marks {
		if at.turn <= turn-atLeast {
			last = k
		}
	}
	if last < 0 {
		return r.e.store.PutImage(ctx, r.e.lease, r.id, m)
	}
	at := r.marks[last]
	if err := r.e.store.PutImageAndCut(ctx, r.e.lease, r.id, m, flawless.Cut{Next: at.seq, Turns: at.turn, Cost: at.cost}); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.marks = slices.Delete(r.marks, 0, last+1)
	return nil
}

func cutError(id string, c *flawless.Cut, code flawless.Code) error {
	return fmt.Errorf("the first %d turns of the log of run %s were removed, as its module says (--keep-turns): it cannot be made again from its start: %w", c.Turns, id, code)
}
