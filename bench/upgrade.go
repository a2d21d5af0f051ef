package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/flawless-engine/flawless/internal/bundle"
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/engine"
	"github.com/flawless-engine/flawless/internal/guest"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

// upgrade measures, in this process and with calls that are answered at once, how fast runs are replayed and moved to
// another version, and the size of a bundle.
func (b *bench) upgrade(ctx context.Context) error {
	const calls = 20
	runs := b.sizes.upgraded
	first, err := buildEdition(b.dir, "first")
	if err != nil {
		return err
	}
	second, err := buildEdition(b.dir, "second")
	if err != nil {
		return err
	}
	rt, err := guest.NewRuntime(ctx, guest.Options{})
	if err != nil {
		return err
	}
	defer rt.Close(ctx)
	st, err := store.Open(ctx, mem.New())
	if err != nil {
		return err
	}
	e, err := engine.Open(ctx, engine.Options{Store: st, Guest: rt, Kinds: answered()})
	if err != nil {
		return err
	}
	defer e.Kill()
	if _, _, err := e.AddModule(ctx, "bench", first, nil); err != nil {
		return err
	}
	if err := asleep(ctx, e, runs, calls); err != nil {
		return err
	}
	if err := b.replayRate(ctx, e); err != nil {
		return err
	}
	if _, _, err := e.AddModule(ctx, "bench", second, nil); err != nil {
		return err
	}
	for _, dry := range []bool{true, false} {
		u, err := e.Upgrade(ctx, "bench", engine.Upgrade{DryRun: dry})
		if err != nil {
			return err
		}
		if u.Continue != runs || !dry && u.Moved != runs {
			return fmt.Errorf("%d of %d runs could continue, %d were moved", u.Continue, runs, u.Moved)
		}
		rate := float64(runs) / u.Took.Seconds()
		if dry {
			b.put(figure{What: fmt.Sprintf("upgrade check over %d open runs of %d calls", runs, calls), Value: rate, Unit: "runs/s", Goal: &goal{Limit: 1000, Target: 5000, AtLeast: true}})
		} else {
			b.put(figure{What: "upgrade of them, check and move", Value: rate, Unit: "runs/s"})
		}
	}
	return nil
}

// answered returns kinds of calls in which http is answered at once.
func answered() []effect.Kind {
	kinds := effect.Kinds(effect.Options{})
	for i := range kinds {
		if kinds[i].Name == effect.HTTP {
			kinds[i].Perform = func(_ context.Context, t effect.Attempt) effect.Result {
				a, err := effect.ResponseAnswer(t.Call.N, 200, []byte(`{"id":"ch_1"}`))
				if err != nil {
					return effect.Result{Outcome: effect.Unknown, Text: err.Error()}
				}
				return effect.Result{Outcome: effect.Answered, Answer: a}
			}
		}
	}
	return kinds
}

// asleep starts runs and waits until all have made their calls.
func asleep(ctx context.Context, e *engine.Engine, runs, calls int) error {
	in, err := json.Marshal(map[string]any{"url": "http://outside.test", "n": calls})
	if err != nil {
		return err
	}
	ids := make(chan int)
	var wg sync.WaitGroup
	var mu sync.Mutex
	var failed error
	for range 8 {
		wg.Go(func() {
			for n := range ids {
				if err := settle(ctx, e, fmt.Sprint("run", n), in, calls+1); err != nil {
					mu.Lock()
					failed = err
					mu.Unlock()
				}
			}
		})
	}
	for n := range runs {
		ids <- n
	}
	close(ids)
	wg.Wait()
	return failed
}

// settle starts a run and follows it until it has taken a number of turns.
func settle(ctx context.Context, e *engine.Engine, id string, in []byte, turns int) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if _, _, err := e.Start(ctx, engine.Start{Module: "bench", Workflow: "waiting", Input: in, ID: id}); err != nil {
		return err
	}
	for rec, err := range e.Follow(ctx, id, 0) {
		if err != nil {
			return err
		}
		for _, x := range rec.Entries {
			if x.Turn != nil && x.Turn.N >= turns {
				return nil
			}
		}
	}
	return fmt.Errorf("run %s has ended", id)
}

// replayRate replays one run for a while and exports it.
func (b *bench) replayRate(ctx context.Context, e *engine.Engine) error {
	n := min(500, b.sizes.upgraded)
	began := time.Now()
	turns := 0
	for k := range n {
		r, err := e.Replay(ctx, fmt.Sprint("run", k), nil)
		if err != nil {
			return err
		}
		if r.Divergence != nil {
			return r.Divergence
		}
		turns += r.Turns
	}
	took := time.Since(began)
	b.put(figure{What: "replay of a run of 20 calls, with the hash of its memory, one after another", Value: micros(took) / float64(n), Unit: "µs"})
	b.put(figure{What: "turns of these replays", Value: float64(turns) / took.Seconds(), Unit: "turns/s"})
	sizes := map[bool]int{}
	for _, logOnly := range []bool{false, true} {
		x, err := e.Export(ctx, "run0", engine.Export{LogOnly: logOnly})
		if err != nil {
			return err
		}
		run, err := x.Bundle()
		if err != nil {
			return err
		}
		var out bytes.Buffer
		if err := bundle.Write(&out, run); err != nil {
			return err
		}
		sizes[logOnly] = out.Len()
	}
	b.put(figure{What: "bundle of a run of 20 calls, with its module", Value: float64(sizes[false]) / 1024, Unit: "KiB"})
	b.put(figure{What: "and without it", Value: float64(sizes[true]) / 1024, Unit: "KiB"})
	return ctx.Err()
}
