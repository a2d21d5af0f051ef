package engine

import (
	"context"
	"fmt"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/ratelimit"
)

// newLimits connects the limits of hosts with this engine.
func (e *Engine) newLimits() *ratelimit.Limits {
	return ratelimit.New(ratelimit.Options{Stored: e.store.Limits, Now: e.now, Go: e.tasks.Go, Log: e.log,
		Put: func(ctx context.Context, host string, l *flawless.Limit) error {
			return e.store.PutLimit(ctx, e.lease, host, l)
		}})
}

// SetLimit keeps a limit, in the place of the one of that host. It takes effect at once, also for the
// calls that wait. A call that has begun is not touched.
func (e *Engine) SetLimit(ctx context.Context, set flawless.Limit) (flawless.Limit, error) {
	if err := set.Check(); err != nil {
		return set, fmt.Errorf("setting a limit: %w", err)
	}
	if err := e.life.Accept(); err != nil {
		return set, err
	}
	return e.limits.Set(ctx, set)
}

// Limits returns all limits, by host, with how many calls wait.
func (e *Engine) Limits(context.Context) ([]flawless.Limit, error) { return e.limits.List(), nil }

// RemoveLimit removes the limit of a host, or returns flawless.NotFound. Calls that wait begin at once.
func (e *Engine) RemoveLimit(ctx context.Context, host string) error {
	return e.limits.Remove(ctx, host)
}
