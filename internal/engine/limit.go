package engine

import (
	"context"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/ratelimit"
)

// newLimits connects rate limits with the engine.
func (e *Engine) newLimits() *ratelimit.Limits {
	return ratelimit.New(ratelimit.Options{Now: e.now, Go: e.tasks.Go, Log: e.log, Accept: e.life.Accept,
		Put: func(ctx context.Context, host string, l *flawless.Limit) error {
			return elsewhere(e.store.PutLimit(ctx, e.lease, host, l))
		}})
}

// Limits returns the rate limits towards hosts.
func (e *Engine) Limits() *ratelimit.Limits { return e.limits }
