package engine

import (
	"context"
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
	atLeast := r.keepTurns()
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

// keepTurns is how many turns of the run's log are kept at least, 0 is all.
func (r *run) keepTurns() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.e.policy.Module(r.s.Start().Module).KeepTurns
}

// isCut tells whether the log of a run was cut, so that it cannot be read without its image.
func (e *Engine) isCut(id string) bool {
	for rec, err := range e.store.Log(context.Background(), id, 0) {
		return err != nil || rec.Cut != nil
	}
	return false
}

// keepState takes the guest out of the image of a run that has ended. Where it fails the image takes
// more space, and nothing else.
func (e *Engine) keepState(id string) {
	m, err := e.store.Image(context.Background(), id)
	if err == nil && len(m.Guest) > 0 {
		m.Guest = nil
		err = e.store.PutImage(context.Background(), e.lease, id, m)
	}
	if err != nil {
		e.log.Warn("the image of a run that has ended could not be made smaller", "run", id, "error", err)
	}
}
