package main

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/guest"
	"github.com/flawless-engine/flawless/internal/replay"
	"github.com/flawless-engine/flawless/internal/rusttest"
)

// rust measures Rust guests in this process without storage: starts of a run that adds two numbers, and replays of
// long logs by a plain guest, which blocks, and an async one, which returns.
func (b *bench) rust(ctx context.Context) error {
	rt, err := guest.NewRuntime(ctx, guest.Options{})
	if err != nil {
		return err
	}
	defer func() { _ = rt.Close(ctx) }()
	for _, g := range []struct{ name, what string }{{"beside", "async"}, {"plain", "plain"}} {
		bin, err := rusttest.Build(filepath.Join("sdk", "rust", "guests", g.name), rusttest.WASI)
		if err != nil {
			return err
		}
		m, err := rt.Load(ctx, bin, nil)
		if err != nil {
			return err
		}
		if g.name == "beside" {
			rate, err := starts(ctx, m)
			if err != nil {
				return err
			}
			b.put(figure{What: "Rust, async: runs without calls, without storage", Value: rate, Unit: "runs/s", Goal: &goal{Limit: 10_000, Target: 30_000, AtLeast: true}})
		}
		rate, err := replays(ctx, m)
		if err != nil {
			return err
		}
		b.put(figure{What: fmt.Sprintf("Rust, %s: replay of a logged chain of %s POSTs", g.what, thousands(posts)), Value: rate, Unit: "turns/s", Goal: &goal{Limit: 20_000, Target: 60_000, AtLeast: true}})
		_ = m.Close(ctx)
	}
	return nil
}

// posts is the number of POSTs in the replayed run.
const posts = 20_000

// starts returns how many runs per second start and end on all cores.
func starts(ctx context.Context, m *guest.Module) (float64, error) {
	const length = 2 * time.Second
	var done atomic.Int64
	var failed atomic.Value
	var wg sync.WaitGroup
	began := time.Now()
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for time.Since(began) < length {
				i, err := m.Start(ctx, guest.Start{Run: "run", Module: "m", Workflow: "add", Input: []byte("[1,2]"), Seed: make([]byte, 32), Time: 1})
				if err == nil {
					var out guest.Out
					if out, err = i.Turn(ctx, guest.In{Time: 1}); err == nil && (out.Ended == nil || out.Ended.Failure != nil) {
						err = fmt.Errorf("a run did not complete: %+v", out.Ended)
					}
					i.Release()
				}
				if err != nil {
					failed.Store(err)
					return
				}
				done.Add(1)
			}
		})
	}
	wg.Wait()
	err, _ := failed.Load().(error)
	return float64(done.Load()) / time.Since(began).Seconds(), err
}

// replays returns how many turns per second of a long log are replayed.
func replays(ctx context.Context, m *guest.Module) (float64, error) {
	log, err := written(ctx, m, posts)
	if err != nil {
		return 0, err
	}
	best := 0.0
	for range 3 {
		began := time.Now()
		r, err := replay.Run(ctx, m, "run", func(yield func(flawless.Record, error) bool) {
			for _, rec := range log {
				if !yield(rec, nil) {
					return
				}
			}
		}, replay.Options{})
		if err == nil && r.Divergence != nil {
			err = r.Divergence
		}
		if err != nil {
			return 0, err
		}
		best = max(best, posts/time.Since(began).Seconds())
	}
	return best, nil
}

// written returns the log of a run of sequential POSTs.
func written(ctx context.Context, m *guest.Module, posts int) ([]flawless.Record, error) {
	input, err := json.Marshal([]any{"http://a.example/", posts})
	if err != nil {
		return nil, err
	}
	start := flawless.Start{Module: "m", Digest: m.Digest(), Workflow: "chain", Input: input, Seed: make([]byte, 32), Time: 1}
	i, err := m.Start(ctx, guest.Start{Run: "run", Module: "m", Workflow: "chain", Input: input, Seed: start.Seed, Time: 1})
	if err != nil {
		return nil, err
	}
	defer i.Release()
	log := []flawless.Record{{Entries: []flawless.Entry{{Start: &start}}}}
	in := guest.In{Time: 1}
	for n := 1; ; n++ {
		out, err := i.Turn(ctx, in)
		if err != nil {
			return nil, err
		}
		t := &flawless.Turn{N: n, Time: in.Time, Calls: out.Calls, Wake: out.Wake, Ended: out.Ended, Cost: out.Cost}
		entries := []flawless.Entry{}
		for k := range in.Answers {
			entries = append(entries, flawless.Entry{Arrival: &flawless.Arrival{Answer: in.Answers[k]}})
			t.Answers = append(t.Answers, in.Answers[k].Call)
		}
		log = append(log, flawless.Record{Seq: uint64(n), Entries: append(entries, flawless.Entry{Turn: t})})
		if out.Ended != nil {
			if out.Ended.Failure != nil {
				return nil, fmt.Errorf("the run failed: %+v", out.Ended.Failure)
			}
			return log, nil
		}
		k := slices.IndexFunc(out.Calls, func(c flawless.Call) bool { return c.Kind == "http" })
		if k < 0 {
			return nil, fmt.Errorf("turn %d asks for nothing: %+v", n, out)
		}
		head := []byte(`{"status":200,"headers":[["Content-Type","application/json"]],"url":"http://a.example/"}`)
		in = guest.In{Time: in.Time + 1000, Answers: []flawless.Answer{{Call: out.Calls[k].N, Head: head, Body: []byte(`{"id":"ch_1"}`)}}}
	}
}
