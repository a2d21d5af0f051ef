package engine

import (
	"context"
	"fmt"

	"github.com/flawless-engine/flawless/internal/library"
	"github.com/flawless-engine/flawless/internal/replay"
)

// revive makes the guest of a run again: a new one that is handed the logged answers, turn by turn.
// The driver calls it, with every turn written.
func (r *run) revive(ctx context.Context) error {
	l, err := r.e.library.Load(ctx, r.s.Start().Digest)
	if err != nil {
		return fmt.Errorf("making the guest of run %s: %w", r.id, library.Unreadable(r.s.Start().Module, r.s.Start().Digest, err))
	}
	start := replay.StartOf(r.id, r.s.Start())
	start.Yield = r.yield
	inst, err := r.thaw(ctx, l.Guest(), start)
	if err != nil {
		return err
	}
	if inst == nil {
		if inst, err = l.Guest().Start(ctx, start); err != nil {
			return fmt.Errorf("making the guest of run %s: %w", r.id, err)
		}
		if r.s.Turns() > 0 {
			r.e.counts.replayed.Add(1)
			if err := replay.Continue(ctx, inst, r.id, r.e.store.Log(ctx, r.id, 0), nil, nil); err != nil {
				inst.Release()
				return err
			}
		}
	}
	r.mu.Lock()
	r.inst = inst
	r.mu.Unlock()
	return nil
}
