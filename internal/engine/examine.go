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

// Replay replays a run from its log, with its own module, or with bin unless that is nil. It touches neither the outside nor
// the run, which may be in any state and continue meanwhile. The log is read as it is at this moment.
func (e *Engine) Replay(ctx context.Context, id string, bin []byte) (flawless.Replay, error) {
	var out flawless.Replay
	err := e.examine(ctx, id, bin, func(m *guest.Module, _ store.Head) (err error) {
		out, err = replay.Run(ctx, m, id, e.store.Log(ctx, id, 0), replay.Options{})
		return err
	})
	return out, err
}

// examine calls f with the module to examine a run with. Examinations need a permit to compute, as turns do.
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

// Inspect returns the state of a run after a turn, from a replay; turn 0 is the last one. Unless against is zero, the memory
// is compared with that after that turn. It touches neither the outside nor the run.
func (e *Engine) Inspect(ctx context.Context, id string, turn, against int) (flawless.Inspection, error) {
	var out flawless.Inspection
	err := e.examine(ctx, id, nil, func(m *guest.Module, _ store.Head) (err error) {
		out, err = replay.Inspect(ctx, m, id, e.store.Log(ctx, id, 0), e.kinds, turn, against)
		return err
	})
	if err != nil {
		return flawless.Inspection{}, fmt.Errorf("inspecting run %s: %w", id, err)
	}
	return out, nil
}

// Trace returns the path of a run through its code, from a replay with its own module, or with bin unless that is nil. If
// the replay diverges, the trace ends there. It touches neither the outside nor the run.
func (e *Engine) Trace(ctx context.Context, id string, bin []byte, o replay.TraceOptions) (flawless.Trace, error) {
	if err := flawless.CheckID(id); err != nil {
		return flawless.Trace{}, err
	}
	head, err := e.store.Head(ctx, id)
	if err != nil {
		return flawless.Trace{}, err
	}
	if bin == nil {
		if bin, err = e.store.Binary(ctx, head.Run.Digest); err != nil {
			return flawless.Trace{}, fmt.Errorf("tracing run %s: %w", id, err)
		}
	}
	if err := e.residency.Compute.Acquire(ctx, residency.Heavy, 0, nil); err != nil {
		return flawless.Trace{}, err
	}
	defer e.residency.Compute.Release()
	m, err := e.guest.LoadTraced(ctx, bin, o.All)
	if err != nil {
		return flawless.Trace{}, fmt.Errorf("tracing run %s: %w", id, err)
	}
	defer func() { _ = m.Close(context.WithoutCancel(ctx)) }()
	return replay.Trace(ctx, m, id, e.store.Log(ctx, id, 0), o)
}

// Diff returns the first turn in which two runs differ. Their times, randomness and log lines are not compared.
func (e *Engine) Diff(ctx context.Context, a, b string) (flawless.Difference, error) {
	for _, id := range []string{a, b} {
		if err := flawless.CheckID(id); err != nil {
			return flawless.Difference{}, err
		}
		if _, err := e.store.Head(ctx, id); err != nil {
			return flawless.Difference{}, err
		}
	}
	d, err := replay.Diff(e.store.Log(ctx, a, 0), e.store.Log(ctx, b, 0))
	d.A, d.B = a, b
	return d, err
}
