package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
)

// long is a sleep that nobody waits for, in milliseconds.
const long = 1000 * 3600 * 1000

// sleepers measures the cost of sleeping runs: memory, disk, and restart time.
func (b *bench) sleepers(ctx context.Context) error {
	var memory, fresh, disk, restart line
	memory.Name, fresh.Name = "after they were started", "after a restart"
	disk.Name, restart.Name = "disk", "kill -9, start, first answer about one of them"
	for _, n := range b.sizes.sleepers {
		r, err := b.sleeping(ctx, n)
		if err != nil {
			return fmt.Errorf("%d sleepers: %w", n, err)
		}
		x := float64(n)
		memory.Points = append(memory.Points, [2]float64{x, r.memory})
		fresh.Points = append(fresh.Points, [2]float64{x, r.fresh})
		disk.Points = append(disk.Points, [2]float64{x, r.disk})
		restart.Points = append(restart.Points, [2]float64{x, median(r.restarts)})
		b.report(n, r)
		if err := b.floors(ctx); err != nil {
			return err
		}
	}
	b.plot(plot{"sleepers-memory.svg", "Resident memory of a server with sleeping runs", "sleeping runs", "MiB", []line{memory, fresh}},
		plot{"sleepers-disk.svg", "Disk per sleeping run", "sleeping runs", "bytes", []line{disk}},
		plot{"sleepers-restart.svg", "Restart of a server with sleeping runs", "sleeping runs", "ms", []line{restart}})
	return nil
}

// slept is the cost of a number of sleepers.
type slept struct {
	memory, fresh float64 // MiB
	disk          float64 // bytes each
	rate          float64 // starts per second
	restarts      []float64
}

func (b *bench) report(n int, r slept) {
	name := thousands(float64(n)) + " sleeping runs: "
	memory := figure{What: name + "resident memory of the server", Value: r.memory, Unit: "MiB"}
	disk := figure{What: name + "disk for each", Value: r.disk, Unit: "bytes"}
	if n == 100_000 {
		memory.Goal, disk.Goal = &goal{Limit: 150e6 / (1 << 20), Target: 80e6 / (1 << 20)}, &goal{Limit: 1500, Target: 600}
	}
	if n == 1_000_000 {
		memory.Goal = &goal{Limit: 1024, Target: 1e9 / (1 << 20)}
	}
	b.put(memory)
	b.put(figure{What: name + "the same after a restart", Value: r.fresh, Unit: "MiB"})
	b.put(disk)
	b.put(figure{What: name + "kill -9 to the first answer about one", Value: median(r.restarts), Unit: "ms", Samples: r.restarts})
	b.put(figure{What: name + "starts", Value: r.rate, Unit: "runs/s"})
}

func (b *bench) sleeping(ctx context.Context, n int) (out slept, err error) {
	s, err := b.serve(ctx)
	if err != nil {
		return out, err
	}
	defer s.end()
	empty := s.disk()
	began := time.Now()
	if err := s.start(ctx, n, long); err != nil {
		return out, err
	}
	out.rate = float64(n) / time.Since(began).Seconds()
	b.note(fmt.Sprintf("%d started, %.0f/s", n, out.rate))
	if err := s.settled(ctx); err != nil {
		return out, err
	}
	<-time.After(3 * time.Second) // memory returns to the system gradually
	out.memory = float64(s.resident()) / (1 << 20)
	out.disk = float64(max(s.disk()-empty, 0)) / float64(n)
	for range b.sizes.repeats {
		s.kill()
		began := time.Now()
		if _, err := s.up(ctx); err != nil {
			return out, err
		}
		if r, err := s.Run(ctx, "sleeper-0", false); err != nil || r.Status != flawless.Waiting {
			return out, fmt.Errorf("the first sleeper is %s, %w", r.Status, err)
		}
		out.restarts = append(out.restarts, millis(time.Since(began)))
	}
	<-time.After(time.Second)
	out.fresh = float64(s.resident()) / (1 << 20)
	return out, nil
}

// start starts n runs sleeper-0, sleeper-1, ... that sleep for ms milliseconds.
func (s *server) start(ctx context.Context, n, ms int) error {
	return s.begin(ctx, n, "sleep", map[string]int{"ms": ms})
}

// begin starts n runs sleeper-0, sleeper-1, ... of a workflow.
func (s *server) begin(ctx context.Context, n int, workflow string, input any) error {
	in, err := json.Marshal(input)
	if err != nil {
		return err
	}
	var next atomic.Int64
	var all sync.WaitGroup
	var mu sync.Mutex
	var failed error
	for range 64 {
		all.Go(func() {
			for k := next.Add(1) - 1; k < int64(n); k = next.Add(1) - 1 {
				if _, _, err := s.Start(ctx, client.Start{Module: "bench", Workflow: workflow, Input: in, ID: fmt.Sprintf("sleeper-%d", k)}, false); err != nil {
					mu.Lock()
					failed = err
					mu.Unlock()
					return
				}
			}
		})
	}
	all.Wait()
	return failed
}

// overdue measures a restart with runs whose timers came due while the server was down.
func (b *bench) overdue(ctx context.Context) error {
	var each []float64
	n := b.sizes.overdue
	for range b.sizes.repeats {
		took, err := b.overdueOnce(ctx, n)
		if err != nil {
			return err
		}
		each = append(each, millis(took))
		if err := b.floors(ctx); err != nil {
			return err
		}
	}
	b.put(figure{What: fmt.Sprintf("restart with %s overdue sleepers until all have ended", thousands(float64(n))), Value: median(each), Unit: "ms", Samples: each,
		Goal: &goal{Limit: 600, Target: 250}})
	return nil
}

func (b *bench) overdueOnce(ctx context.Context, n int) (time.Duration, error) {
	s, came, err := b.overdueServer(ctx, n)
	if err != nil {
		return 0, err
	}
	defer s.end()
	if err := s.without(ctx, time.Minute, flawless.Pending, flawless.Running, flawless.Waiting); err != nil {
		return 0, err
	}
	return time.Since(came), nil
}

// overdueServer returns a server that has just started after a crash with n overdue sleepers, and its start time.
func (b *bench) overdueServer(ctx context.Context, n int) (*server, time.Time, error) {
	s, err := b.serve(ctx)
	if err != nil {
		return nil, time.Time{}, err
	}
	began, err := s.miss(ctx, n)
	if err != nil {
		s.end()
		return nil, began, err
	}
	return s, began, nil
}

// miss starts n sleepers, and restarts the server when they are due.
func (s *server) miss(ctx context.Context, n int) (began time.Time, err error) {
	const nap = 6000 // long enough to start them all, and for most to leave memory
	began = time.Now()
	if err := s.start(ctx, n, nap); err != nil {
		return began, err
	}
	if err := s.without(ctx, time.Minute, flawless.Pending, flawless.Running); err != nil { // they would still sleep after the restart
		return began, err
	}
	if time.Since(began) > nap*time.Millisecond*3/4 {
		return began, errors.New("the machine is too slow: sleepers wake before all are started")
	}
	s.kill()
	<-time.After(nap * time.Millisecond)
	began = time.Now()
	_, err = s.up(ctx)
	return began, err
}

// without waits until no run has one of these statuses.
func (s *server) without(ctx context.Context, most time.Duration, status ...flawless.Status) error {
	for began := time.Now(); time.Since(began) < most; <-time.After(2 * time.Millisecond) {
		open, _, err := s.Runs(ctx, flawless.Filter{Status: status, Limit: 1})
		if err != nil || len(open) == 0 {
			return err
		}
	}
	return fmt.Errorf("after %v there are still runs with status %v", most, status)
}
