package engine

import (
	"context"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/core"
)

// Urge starts the next try of a call now, or ends its retries. It returns when that is durable;
// flawless.Conflict where the call does not wait for a try, or several do and none is named.
func (e *Engine) Urge(ctx context.Context, id string, u core.RetryDecision) (flawless.Run, error) {
	return e.change(ctx, id, func(s *core.State, now int64) ([]flawless.Entry, error) { return s.DecideRetry(u, now) })
}
