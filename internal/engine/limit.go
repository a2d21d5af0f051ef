package engine

import (
	"context"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/ratelimit"
)

// newLimits connects rate limits with the engine.
func (e *Engine) newLimits() *ratelimit.Limits {
	return ratelimit.New(ratelimit.Options{Store: (*limitStore)(e), Shared: e.shared, Now: e.now, Go: e.tasks.Go, Log: e.log, Accept: e.life.Accept})
}

// limitStore is the Engine's store as its rate limits see it.
type limitStore Engine

func (s *limitStore) Put(ctx context.Context, host string, before, after *flawless.Limit) error {
	return elsewhere(s.store.PutLimit(ctx, s.lease, host, before, after))
}

func (s *limitStore) Get(ctx context.Context, host string) (flawless.Limit, error) {
	return s.store.Limit(ctx, host)
}

func (s *limitStore) All(ctx context.Context) ([]flawless.Limit, error) { return s.store.Limits(ctx) }

// Limits returns the rate limits towards hosts.
func (e *Engine) Limits() *ratelimit.Limits { return e.limits }
