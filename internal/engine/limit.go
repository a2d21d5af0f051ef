package engine

import (
	"context"
	"sync"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/ratelimit"
	"github.com/flawless-engine/flawless/internal/rpc"
	"github.com/flawless-engine/flawless/internal/store"
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

// ListLimits returns the rate limits, with the calls that wait on all servers that can be reached.
func (e *Engine) ListLimits(ctx context.Context) []flawless.Limit {
	all := e.limits.List()
	if len(all) == 0 || e.runs.OwnsAll() {
		return all
	}
	owners, err := e.store.Owners(ctx)
	if err != nil {
		return all
	}
	counted := map[string]bool{"": true, e.lease.Owner(): true}
	ctx, stop := context.WithTimeout(ctx, 2*time.Second)
	defer stop()
	var others sync.WaitGroup
	var mu sync.Mutex
	for sh, owner := range owners {
		if counted[owner] {
			continue
		}
		counted[owner] = true
		others.Go(func() {
			waiting, err := waitingOp.ask(ctx, e, store.Shard(sh), rpc.Nothing{})
			if err != nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			for i := range all {
				all[i].Waiting += waiting[all[i].Host]
			}
		})
	}
	others.Wait()
	return all
}

// waitingOp returns the number of calls that wait for a permit on a server, by host.
var waitingOp = peerOp[rpc.Nothing, map[string]int]{"waiting", func(e *Engine, _ context.Context, _ rpc.Nothing) (map[string]int, error) {
	waiting := map[string]int{}
	for _, l := range e.limits.List() {
		waiting[l.Host] = l.Waiting
	}
	return waiting, nil
}}

// Limits returns the rate limits towards hosts.
func (e *Engine) Limits() *ratelimit.Limits { return e.limits }
