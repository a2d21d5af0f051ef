package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
)

// cluster is one or more servers on a database.
type cluster struct {
	b      *bench
	d      *database
	schema string
	nodes  []*server
	probes int // so that the ids of their runs differ
}

// newCluster starts the first node.
func (b *bench) newCluster(ctx context.Context, d *database, schema string) (*cluster, error) {
	c := &cluster{b: b, d: d, schema: schema}
	_, err := c.join(ctx)
	return c, err
}

// join starts one more node.
func (c *cluster) join(ctx context.Context) (*server, error) {
	s, err := c.b.serve(ctx, "--store", c.d.address, "--store-schema", c.schema, "--name", fmt.Sprint("node-", len(c.nodes)+1), "--lease", c.b.sizes.lease.String())
	if err != nil {
		return nil, err
	}
	c.nodes = append(c.nodes, s)
	return s, nil
}

// again starts a node that was killed, once the others have its shards.
func (c *cluster) again(ctx context.Context, s *server) error {
	if _, err := s.up(ctx); err != nil {
		return err
	}
	return c.balanced(ctx)
}

func (c *cluster) end(ctx context.Context) {
	for _, s := range c.nodes {
		s.end()
	}
	_ = c.d.forget(ctx, c.schema)
}

// balanced waits until each node has about its part of the shards.
func (c *cluster) balanced(ctx context.Context) error {
	part := 256 / len(c.nodes) * 9 / 10
	for began := time.Now(); time.Since(began) < 5*time.Minute; <-time.After(50 * time.Millisecond) {
		all, err := c.nodes[0].Nodes(ctx)
		if err != nil {
			return err
		}
		have := 0
		for _, n := range all {
			if !n.Dead && n.Shards >= part {
				have++
			}
		}
		if have == len(c.nodes) {
			return nil
		}
	}
	return errors.New("the nodes do not share the shards evenly")
}

// takeover starts n runs that are due soon, kills a node right before the first one is, and returns the time from then to
// the next turn of the last one.
func (c *cluster) takeover(ctx context.Context, victim, other *server, n int) (time.Duration, error) {
	const nap = 8 * time.Second // long enough to start them, even if the machine is busy
	began := time.Now()
	ids, err := c.probe(ctx, other, n, nap)
	if err != nil {
		return 0, err
	}
	if time.Since(began) > nap*3/4 {
		return 0, errors.New("the machine is too slow: runs are due before all are started")
	}
	<-time.After(nap - 500*time.Millisecond - time.Since(began))
	killed := time.Now()
	victim.kill()
	last, err := ended(ctx, other, ids)
	return last.Sub(killed), err
}

// probe starts n runs of one sleep.
func (c *cluster) probe(ctx context.Context, s *server, n int, nap time.Duration) ([]string, error) {
	c.probes++
	in, err := json.Marshal(map[string]any{"n": 1, "ms": nap.Milliseconds()})
	if err != nil {
		return nil, err
	}
	ids := make([]string, n)
	for k := range ids {
		ids[k] = fmt.Sprintf("probe-%d-%d", c.probes, k)
	}
	var next atomic.Int64
	var all sync.WaitGroup
	failed := make(chan error, 16)
	for range cap(failed) {
		all.Go(func() {
			for k := next.Add(1) - 1; k < int64(n); k = next.Add(1) - 1 {
				if _, _, err := s.Start(ctx, client.Start{Module: "bench", Workflow: "steps", Input: in, ID: ids[k]}, false); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	all.Wait()
	select {
	case err := <-failed:
		return nil, err
	default:
		return ids, nil
	}
}

// ended waits for runs and returns when the last one has ended, by the engine's clock.
func ended(ctx context.Context, s *server, ids []string) (last time.Time, err error) {
	ids = slices.Clone(ids)
	for began := time.Now(); len(ids) > 0 && time.Since(began) < 5*time.Minute; <-time.After(20 * time.Millisecond) {
		for len(ids) > 0 {
			r, err := s.Run(ctx, ids[0], false)
			if err != nil {
				return last, err
			}
			if r.Ended == nil {
				break // those after it may have ended, but the last one counts
			}
			if r.Status != flawless.Completed {
				return last, fmt.Errorf("run %s is %s", r.ID, r.Status)
			}
			if r.Ended.After(last) {
				last = *r.Ended
			}
			ids = ids[1:]
		}
	}
	if len(ids) > 0 {
		return last, fmt.Errorf("%d runs do not end", len(ids))
	}
	return last, nil
}

// takeovers measures what many sleeping runs cost a node, and those that take them over.
func (b *bench) takeovers(ctx context.Context) error {
	n := slices.Max(b.sizes.sleepers)
	name := thousands(float64(n)) + " sleeping runs: "
	embedded, err := b.embeddedMemory(ctx, n)
	if err != nil {
		return err
	}
	d, err := b.openDatabase(ctx)
	if err != nil {
		return err
	}
	defer b.closeDatabase(ctx)
	c, err := b.newCluster(ctx, d, "bench_takeover")
	if err != nil {
		return err
	}
	defer c.end(ctx)
	first := c.nodes[0]
	began := time.Now()
	if err := first.start(ctx, n, long); err != nil {
		return err
	}
	rate := float64(n) / time.Since(began).Seconds()
	b.note(fmt.Sprintf("%d started, %.0f/s", n, rate))
	memory, err := first.rested(ctx)
	if err != nil {
		return err
	}
	if err := b.floors(ctx); err != nil {
		return err
	}
	began = time.Now()
	second, err := c.join(ctx)
	if err != nil {
		return err
	}
	if err := c.balanced(ctx); err != nil {
		return err
	}
	half := time.Since(began)
	took, err := c.takeover(ctx, first, second, b.sizes.overdue/2)
	if err != nil {
		return err
	}
	if !b.quick { // memory returns to the system once a minute, and the takeover has just woken runs
		<-time.After(time.Minute)
	}
	after, err := second.rested(ctx)
	if err != nil {
		return err
	}
	b.put(figure{What: name + "resident memory of a server with the embedded store", Value: embedded, Unit: "MiB"})
	b.put(figure{What: name + "of a node on PostgreSQL", Value: memory, Unit: "MiB"})
	b.put(figure{What: name + "the same as a multiple of the embedded store", Value: memory / embedded, Goal: &goal{Limit: 1.25}})
	b.put(figure{What: name + "of the node that has taken all over", Value: after, Unit: "MiB"})
	b.put(figure{What: name + "starts on PostgreSQL", Value: rate, Unit: "runs/s"})
	b.put(figure{What: name + "start of a second node until it has half of the shards", Value: seconds(half), Unit: "s"})
	b.put(figure{What: name + "kill -9 of the first to the next turn of the last of its runs that are due", Value: seconds(took), Unit: "s", Goal: &goal{Limit: seconds(b.sizes.lease) + 1}})
	return nil
}

// embeddedMemory returns the resident memory of a server with n sleepers in the embedded store, in MiB.
func (b *bench) embeddedMemory(ctx context.Context, n int) (float64, error) {
	s, err := b.serve(ctx)
	if err != nil {
		return 0, err
	}
	defer s.end()
	if err := s.start(ctx, n, long); err != nil {
		return 0, err
	}
	return s.rested(ctx)
}

// rested returns the resident memory of a server in MiB, some time after no guest is in memory any more.
func (s *server) rested(ctx context.Context) (float64, error) {
	if err := s.settled(ctx); err != nil {
		return 0, err
	}
	<-time.After(3 * time.Second) // memory returns to the system gradually
	return float64(s.resident()) / (1 << 20), nil
}

func seconds(d time.Duration) float64 { return d.Seconds() }
