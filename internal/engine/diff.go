package engine

import (
	"context"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/replay"
)

// Diff returns the first turn in which two runs differ. Times and randomness of their own are not
// compared, nor are log lines.
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
