package engine

import (
	"context"
	"fmt"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/replay"
	"github.com/flawless-engine/flawless/internal/residency"
)

// Trace returns the path a run went through its code, from a replay with its own module or, where bin
// is not nil, with that one. Where the replay diverges the trace ends there. It touches neither the
// outside nor the run.
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
