package engine

import (
	"context"
	"fmt"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/guest"
	"github.com/flawless-engine/flawless/internal/replay"
	"github.com/flawless-engine/flawless/internal/residency"
	"github.com/flawless-engine/flawless/internal/store"
)

// Replay takes the turns of a run's log again, with its own module or, where bin is not nil, with
// that one. It touches neither the outside nor the run, which may be in any state and go on
// meanwhile; the log is taken as it is at this moment.
func (e *Engine) Replay(ctx context.Context, id string, bin []byte) (flawless.Replay, error) {
	var out flawless.Replay
	err := e.examine(ctx, id, bin, func(m *guest.Module, _ store.Head) (err error) {
		out, err = replay.Run(ctx, m, id, e.store.Log(ctx, id, 0), replay.Options{})
		return err
	})
	return out, err
}

// examine calls f with the module that a run is to be examined with. As many examinations go on at
// once as guests compute.
func (e *Engine) examine(ctx context.Context, id string, bin []byte, f func(m *guest.Module, head store.Head) error) error {
	if err := flawless.CheckID(id); err != nil {
		return err
	}
	head, err := e.store.Head(ctx, id)
	if err != nil {
		return err
	}
	m, done, err := e.library.Borrow(ctx, head.Run.Digest, bin)
	if err != nil {
		return fmt.Errorf("examining run %s: %w", id, err)
	}
	defer done()
	if err := e.residency.Compute.Acquire(ctx, residency.Heavy, 0, nil); err != nil {
		return err
	}
	defer e.residency.Compute.Release()
	return f(m, head)
}
