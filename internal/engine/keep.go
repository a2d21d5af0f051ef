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
	name := r.s.start.Module
	r.mu.Unlock()
	module, err := r.e.names.newest(ctx, name, r.e.store.Module)
	if err != nil || module.KeepTurns == 0 {
		r.mu.Lock()
		r.marks = nil
		r.mu.Unlock()
		return r.e.store.PutImage(ctx, r.e.lease, r.id, m)
	}
	last := -1
	for k, at := range r.marks {
		if at.turn <= turn-module.KeepTurns {
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

// KeepTurns sets how many turns of the logs of a module's runs are kept at least; 0 keeps all. It
// holds for all its versions, from the next image of a run on. A run whose log was cut goes on from
// its image alone: it cannot be replayed from its start, nor upgraded.
func (e *Engine) KeepTurns(ctx context.Context, name string, n int) (flawless.Module, error) {
	if err := e.accepts(); err != nil {
		return flawless.Module{}, err
	}
	m, err := e.store.KeepTurns(ctx, e.lease, name, n)
	e.names.forget()
	return m, err
}

func cutError(id string, c *flawless.Cut, code flawless.Code) error {
	return fmt.Errorf("the first %d turns of the log of run %s were removed, as its module says (--keep-turns): it cannot be made again from its start: %w", c.Turns, id, code)
}
