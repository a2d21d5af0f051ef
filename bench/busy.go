package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/flawless-engine/flawless"
)

// busy measures how long a new run waits beside many active runs, which take one step per second each. This depends on
// residency: which runs are in memory, and which one computes next.
func (b *bench) busy(ctx context.Context) error {
	for _, n := range b.sizes.busy {
		if err := b.busyWith(ctx, n); err != nil {
			return fmt.Errorf("%d active runs: %w", n, err)
		}
		if err := b.floors(ctx); err != nil {
			return err
		}
	}
	return b.afterCrash(ctx)
}

// busyWith measures with n active runs.
func (b *bench) busyWith(ctx context.Context, n int) error {
	s, err := b.serve(ctx)
	if err != nil {
		return err
	}
	defer s.end()
	const forever = 1_000_000
	if err := s.begin(ctx, n, "steps", map[string]int{"n": forever, "ms": 1000}); err != nil {
		return err
	}
	<-time.After(b.sizes.length) // until the starts have settled

	steps, used, began := s.steps(ctx, n), s.processor(), time.Now()
	<-time.After(b.sizes.length)
	took := time.Since(began)
	taken, spent := s.steps(ctx, n)-steps, s.processor()-used
	if taken <= 0 {
		return errors.New("no run takes a step")
	}
	guests, memory := 0, own(s.cmd.Process.Pid)
	if h, err := s.Health(ctx); err == nil {
		guests = h.Live
	}

	var each []float64
	for began := time.Now(); time.Since(began) < 2*b.sizes.length; <-time.After(10 * time.Millisecond) {
		t := time.Now()
		if _, err := complete(ctx, s.Client, "empty", nil); err != nil {
			return err
		}
		each = append(each, millis(time.Since(t)))
	}
	slices.Sort(each)
	name := thousands(float64(n)) + " active runs: "
	b.put(figure{What: name + "a new empty run, start to completion", Value: median(each), Unit: "ms", Samples: each, Goal: &goal{Limit: 3}})
	b.put(figure{What: name + "the slowest of 100 new runs", Value: each[len(each)*99/100], Unit: "ms", Goal: &goal{Limit: 20}})
	b.put(figure{What: name + "processor time per step", Value: micros(spent) / taken, Unit: "µs", Goal: &goal{Limit: 300}})
	b.put(figure{What: name + "steps taken", Value: taken / took.Seconds(), Unit: "steps/s"})
	b.put(figure{What: name + "guests in memory", Value: float64(guests), Unit: ""})
	b.put(figure{What: name + "memory of the server's own", Value: float64(memory) / (1 << 20), Unit: "MiB"})
	return nil
}

// afterCrash measures how long a new run waits when a server starts with overdue sleepers.
func (b *bench) afterCrash(ctx context.Context) error {
	var each []float64
	n := b.sizes.overdue
	for range b.sizes.repeats {
		s, _, err := b.overdueServer(ctx, n)
		if err != nil {
			return err
		}
		t := time.Now()
		_, err = complete(ctx, s.Client, "empty", nil)
		each = append(each, millis(time.Since(t)))
		s.end()
		if err != nil {
			return err
		}
	}
	b.put(figure{What: fmt.Sprintf("a new empty run right after a crash, beside %s overdue sleepers", thousands(float64(n))), Value: median(each), Unit: "ms", Samples: each, Goal: &goal{Limit: 100}})
	return nil
}

// steps estimates from a sample how many turns n runs have taken.
func (s *server) steps(ctx context.Context, n int) float64 {
	sum, asked := 0, min(n, 100)
	for k := range asked {
		if r, err := s.Run(ctx, fmt.Sprintf("sleeper-%d", k*n/asked), false); err == nil && r.Status != flawless.Failed {
			sum += r.Turns
		}
	}
	return float64(sum) * float64(n) / float64(asked)
}

// processor returns the CPU time of the server, or 0 if the system does not report it.
// https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
func (s *server) processor() time.Duration {
	const perSecond = 100 // USER_HZ
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
	_, after, _ := strings.Cut(string(b), ") ") // the name may have spaces
	f := strings.Fields(after)
	if len(f) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(f[11])
	system, _ := strconv.Atoi(f[12])
	return time.Duration(user+system) * time.Second / perSecond
}
