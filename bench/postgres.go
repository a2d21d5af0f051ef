package main

import (
	"context"
	"fmt"
	"time"
)

// onPostgres measures a server whose store is in PostgreSQL, beside one with the embedded store.
func (b *bench) onPostgres(ctx context.Context) error {
	d, err := b.openDatabase(ctx)
	if err != nil {
		return err
	}
	defer b.closeDatabase(ctx)
	const schema = "bench_one"
	s, err := b.serve(ctx, "--store", d.address, "--store-schema", schema)
	if err != nil {
		return err
	}
	defer func() {
		s.end()
		_ = d.forget(ctx, schema)
	}()
	embedded, err := b.serve(ctx)
	if err != nil {
		return err
	}
	defer embedded.end()
	if err := b.chains(ctx, d, schema, s); err != nil {
		return err
	}
	return b.clients(ctx, d, schema, s, embedded)
}

// chains measures chains of calls of one client.
func (b *bench) chains(ctx context.Context, d *database, schema string, s *server) error {
	const n = 100
	if _, err := b.chainOf(ctx, s, n, 2); err != nil { // to warm up
		return err
	}
	var each []float64
	for range b.sizes.chains / 2 {
		if err := b.floors(ctx); err != nil {
			return err
		}
		times, err := b.chainOf(ctx, s, n, 2)
		if err != nil {
			return err
		}
		each = append(each, times...)
	}
	b.put(figure{What: "chain of 100 POSTs, per call", Value: median(each), Unit: "µs", Samples: each, Goal: &goal{Limit: 1.4, Floors: true, Postgres: true}})
	before, err := d.worked(ctx, schema)
	if err != nil {
		return err
	}
	if each, err = b.chainOf(ctx, s, n, b.sizes.chains/2); err != nil { // without floors, which are work of the database
		return err
	}
	after, err := d.worked(ctx, schema)
	b.per("one client", before, after, float64(n*len(each)))
	return err
}

// chainOf runs chains of n POSTs one after another and returns the times per call in µs.
func (b *bench) chainOf(ctx context.Context, s *server, n, chains int) (each []float64, err error) {
	for range chains {
		t := time.Now()
		if _, err := complete(ctx, s.Client, "chain", map[string]any{"url": b.url, "n": n}); err != nil {
			return nil, err
		}
		each = append(each, micros(time.Since(t))/float64(n))
	}
	return each, nil
}

// clients measures 64 clients, in turn with the same on the embedded store.
func (b *bench) clients(ctx context.Context, d *database, schema string, s, embedded *server) error {
	const n = 10
	in := map[string]any{"url": b.url, "n": n}
	var there, here, ratio []float64
	for range b.sizes.rounds {
		rates := [2]float64{}
		for i, one := range []*server{embedded, s} {
			if err := b.floors(ctx); err != nil {
				return err
			}
			rate, err := b.many(ctx, []*server{one}, "chain", in)
			if err != nil {
				return err
			}
			rates[i] = rate * n
		}
		here, there, ratio = append(here, rates[0]), append(there, rates[1]), append(ratio, rates[1]/rates[0])
	}
	before, err := d.worked(ctx, schema)
	if err != nil {
		return err
	}
	began := time.Now()
	rate, err := b.many(ctx, []*server{s}, "chain", in)
	if err != nil {
		return err
	}
	calls := rate * n * time.Since(began).Seconds()
	after, err := d.worked(ctx, schema)
	if err != nil {
		return err
	}
	b.put(figure{What: "64 clients, runs of 10 POSTs, on the embedded store", Value: median(here), Unit: "calls/s", Samples: here})
	b.put(figure{What: "64 clients, runs of 10 POSTs, on PostgreSQL", Value: median(there), Unit: "calls/s", Samples: there})
	b.put(figure{What: "the same as a share of the embedded store", Value: median(ratio), Samples: ratio, Goal: &goal{Limit: 0.75, AtLeast: true}})
	b.per("64 clients", before, after, calls)
	b.put(figure{What: "resident memory of the server at the end", Value: float64(s.resident()) / (1 << 20), Unit: "MiB"})
	return nil
}

// overNodes measures one, two and three servers on one database, and a takeover by two of them.
func (b *bench) overNodes(ctx context.Context) error {
	d, err := b.openDatabase(ctx)
	if err != nil {
		return err
	}
	defer b.closeDatabase(ctx)
	c, err := b.newCluster(ctx, d, "bench_nodes")
	if err != nil {
		return err
	}
	defer c.end(ctx)
	const n = 10
	for k := 1; k <= 3; k++ {
		if k > 1 {
			if _, err := c.join(ctx); err != nil {
				return err
			}
		}
		if err := c.balanced(ctx); err != nil {
			return err
		}
		var each []float64
		for range b.sizes.rounds {
			if err := b.floors(ctx); err != nil {
				return err
			}
			rate, err := b.many(ctx, c.nodes, "chain", map[string]any{"url": b.url, "n": n})
			if err != nil {
				return err
			}
			each = append(each, rate*n)
		}
		what := "64 clients, runs of 10 POSTs, one node"
		if k > 1 {
			what = fmt.Sprintf("the same on %d nodes of this machine", k)
		}
		b.put(figure{What: what, Value: median(each), Unit: "calls/s", Samples: each})
	}
	var each []float64
	for range b.sizes.repeats {
		victim := c.nodes[len(c.nodes)-1]
		took, err := c.takeover(ctx, victim, c.nodes[0], b.sizes.overdue)
		if err != nil {
			return err
		}
		each = append(each, seconds(took))
		if err := c.again(ctx, victim); err != nil {
			return err
		}
	}
	b.put(figure{What: fmt.Sprintf("kill -9 of one of three to the next turn of the last of its runs (%s on all)", thousands(float64(b.sizes.overdue))), Value: median(each), Unit: "s", Samples: each,
		Goal: &goal{Limit: seconds(b.sizes.lease) + 1}})
	return nil
}
