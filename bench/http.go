package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/flawless-engine/flawless/client"
)

// overHTTP measures a real server through its API: a chain of calls, empty runs, and 64 clients.
func (b *bench) overHTTP(ctx context.Context) error {
	s, err := b.serve(ctx)
	if err != nil {
		return err
	}
	defer s.end()
	for _, step := range []func(context.Context, *server) error{b.chain, b.empty, b.calls, b.starts} {
		if err := b.floors(ctx); err != nil {
			return err
		}
		if err := step(ctx, s); err != nil {
			return err
		}
	}
	b.put(figure{What: "resident memory of the server at the end", Value: float64(s.resident()) / (1 << 20), Unit: "MiB"})
	return b.floors(ctx)
}

// chain measures the time per call in a run of 100 POSTs.
func (b *bench) chain(ctx context.Context, s *server) error {
	const n, warm = 100, 2
	var each []float64
	for k := range b.sizes.chains + warm {
		t := time.Now()
		if _, err := complete(ctx, s.Client, "chain", map[string]any{"url": b.url, "n": n}); err != nil {
			return err
		}
		if k >= warm {
			each = append(each, micros(time.Since(t)/n))
		}
	}
	b.put(figure{What: "chain of 100 POSTs, per call", Value: median(each), Unit: "µs", Samples: each, Goal: &goal{Limit: 1.6, Target: 1.2, Floors: true}})
	return nil
}

// empty measures the time from start to completion of an empty run.
func (b *bench) empty(ctx context.Context, s *server) error {
	q, err := client.New(client.Options{Socket: s.socket, Patience: -1})
	if err != nil {
		return err
	}
	defer q.Close()
	const warm = 20
	for _, p := range []struct {
		name string
		c    *client.Client
	}{{"TCP", s.Client}, {"QUIC", q}} {
		var each []float64
		for k := range b.sizes.empties + warm {
			t := time.Now()
			if _, err := complete(ctx, p.c, "empty", nil); err != nil {
				return err
			}
			if k >= warm {
				each = append(each, micros(time.Since(t)))
			}
		}
		b.put(figure{What: "empty run, start to completion, " + p.name, Value: median(each), Unit: "µs", Samples: each, Goal: &goal{Limit: 3, Floors: true}})
		if err := b.floors(ctx); err != nil {
			return err
		}
	}
	return nil
}

// many starts runs from 64 clients for some seconds, evenly on the servers, and returns how many ended per second.
func (b *bench) many(ctx context.Context, servers []*server, workflow string, in any) (float64, error) {
	return b.manyOf(ctx, servers, func(ctx context.Context, c *client.Client) error {
		_, err := complete(ctx, c, workflow, in)
		return err
	})
}

// manyOf is many for runs that one starts and awaits.
func (b *bench) manyOf(ctx context.Context, servers []*server, one func(context.Context, *client.Client) error) (float64, error) {
	const clients = 64
	var done atomic.Int64
	var all sync.WaitGroup
	var mu sync.Mutex
	var failed error
	began := time.Now()
	for k := range clients {
		s := servers[k%len(servers)]
		all.Go(func() {
			for time.Since(began) < b.sizes.length {
				if err := one(ctx, s.Client); err != nil {
					mu.Lock()
					failed = err
					mu.Unlock()
					return
				}
				done.Add(1)
			}
		})
	}
	all.Wait()
	return float64(done.Load()) / time.Since(began).Seconds(), failed
}

func (b *bench) calls(ctx context.Context, s *server) error {
	const n = 10
	rate, err := b.many(ctx, []*server{s}, "chain", map[string]any{"url": b.url, "n": n})
	b.put(figure{What: fmt.Sprintf("64 clients, runs of %d POSTs", n), Value: rate * n, Unit: "calls/s", Goal: &goal{Limit: 8000, Target: 15000, AtLeast: true}})
	return err
}

func (b *bench) starts(ctx context.Context, s *server) error {
	rate, err := b.many(ctx, []*server{s}, "empty", nil)
	b.put(figure{What: "64 clients, empty runs", Value: rate, Unit: "runs/s", Goal: &goal{Limit: 3000, Target: 8000, AtLeast: true}})
	return err
}
