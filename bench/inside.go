package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/engine"
	"github.com/flawless-engine/flawless/internal/guest"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/pebble"
)

// guests compiles the guest for this process.
func (b *bench) guests(ctx context.Context) (*guest.Runtime, *guest.Module, error) {
	rt, err := guest.NewRuntime(ctx, guest.Options{CacheDir: filepath.Join(b.dir, "compiled")})
	if err != nil {
		return nil, nil, err
	}
	m, err := rt.Load(ctx, b.module, nil)
	if err != nil {
		return nil, nil, errors.Join(err, rt.Close(ctx))
	}
	return rt, m, nil
}

func begin(workflow string, in any) guest.Start {
	text, _ := json.Marshal(in)
	return guest.Start{Run: "run", Module: "bench", Workflow: workflow, Input: text, Seed: bytes.Repeat([]byte{1}, 32), Time: time.Now().UnixNano()}
}

// startWithoutStorage measures taking an instance from the pool, a first turn that ends the run, and returning the
// instance.
func (b *bench) startWithoutStorage(ctx context.Context) error {
	rt, m, err := b.guests(ctx)
	if err != nil {
		return err
	}
	defer rt.Close(ctx)
	each, err := b.firstTurns(ctx, m)
	if err != nil {
		return err
	}
	b.put(figure{What: "start of a run to its first turn done, without storage", Value: median(each), Unit: "µs", Samples: each, Goal: &goal{Limit: 300, Target: 100}})
	return nil
}

// firstTurns returns how long empty runs take from start to the end of their first turn, in microseconds.
func (b *bench) firstTurns(ctx context.Context, m *guest.Module) ([]float64, error) {
	var each []float64
	for k := range b.sizes.samples + 100 {
		t := time.Now()
		i, err := m.Start(ctx, begin("empty", nil))
		if err != nil {
			return nil, err
		}
		out, err := i.Turn(ctx, guest.In{Time: t.UnixNano()})
		took := time.Since(t)
		i.Release()
		if err != nil || out.Ended == nil {
			return nil, fmt.Errorf("the run has not ended: %+v, %w", out, err)
		}
		if k >= 100 {
			each = append(each, micros(took))
		}
	}
	return each, nil
}

// freezing measures freezing and thawing a waiting guest.
func (b *bench) freezing(ctx context.Context) error {
	rt, m, err := b.guests(ctx)
	if err != nil {
		return err
	}
	defer rt.Close(ctx)
	start := begin("chain", map[string]any{"url": b.url, "n": 10})
	i, err := m.Start(ctx, start)
	if err != nil {
		return err
	}
	defer i.Release()
	if _, err := i.Turn(ctx, guest.In{Time: start.Time}); err != nil {
		return err
	}
	var freeze, thaw []float64
	size := 0
	for range b.sizes.samples / 4 {
		t := time.Now()
		f, err := i.Freeze()
		if err != nil {
			return err
		}
		u := time.Now()
		j, err := m.Thaw(ctx, start, f)
		if err != nil {
			return err
		}
		freeze, thaw, size = append(freeze, micros(u.Sub(t))), append(thaw, micros(time.Since(u))), len(f)
		j.Release()
	}
	b.put(figure{What: "freeze a waiting guest", Value: median(freeze), Unit: "µs", Samples: freeze})
	b.put(figure{What: "thaw it", Value: median(thaw), Unit: "µs", Samples: thaw})
	b.put(figure{What: "its size, frozen", Value: float64(size), Unit: "bytes"})
	b.put(figure{What: "its memory beside the base image", Value: float64(i.Weight()) / 1024, Unit: "KiB"})
	return nil
}

// replaySpeed measures how fast a guest is restored from the log of a chain of POSTs.
func (b *bench) replaySpeed(ctx context.Context) error {
	rt, _, err := b.guests(ctx)
	if err != nil {
		return err
	}
	defer rt.Close(ctx)
	n := b.sizes.replayed
	dir := filepath.Join(b.dir, "replay")
	if err := withEngine(ctx, dir, rt, func(e *engine.Engine) error {
		if _, _, err := e.AddModule(ctx, "bench", b.module, nil); err != nil {
			return err
		}
		in, _ := json.Marshal(map[string]any{"url": b.url, "n": n})
		if _, _, err := e.Start(ctx, engine.Start{Module: "bench", Workflow: "held", Input: in, ID: "held"}); err != nil {
			return err
		}
		for r, err := range e.Watch(ctx) {
			if err != nil || r.Turns > n || r.Status.Ended() {
				return err
			}
		}
		return nil
	}); err != nil {
		return err
	}
	began := time.Now()
	if err := withEngine(ctx, dir, rt, func(e *engine.Engine) error {
		if _, _, err := e.AddModule(ctx, "bench", b.module, nil); err != nil { // so that it is compiled
			return err
		}
		began = time.Now()
		if _, err := e.Cancel(ctx, "held", flawless.Cancel{}); err != nil {
			return err
		}
		r, err := e.Wait(ctx, "held")
		if err == nil && (r.Status != flawless.Cancelled || r.Turns < n || e.Health().Replayed != 1) {
			err = fmt.Errorf("it is %s after %d turns, replayed %d", r.Status, r.Turns, e.Health().Replayed)
		}
		return err
	}); err != nil {
		return err
	}
	b.put(figure{What: fmt.Sprintf("replay of a logged chain of %s POSTs", thousands(float64(n))), Value: float64(n+1) / time.Since(began).Seconds(), Unit: "turns/s",
		Goal: &goal{Limit: 20_000, Target: 60_000, AtLeast: true}})
	return nil
}

// withEngine opens an engine without freezing on an on-disk database.
func withEngine(ctx context.Context, dir string, rt *guest.Runtime, do func(*engine.Engine) error) error {
	db, err := pebble.Open(dir, pebble.Options{})
	if err != nil {
		return err
	}
	s, err := store.Open(ctx, db)
	if err != nil {
		return errors.Join(err, db.Close())
	}
	e, err := engine.Open(ctx, engine.Options{Store: s, Guest: rt, Kinds: effect.Kinds(effect.Options{}), Freezing: engine.Freezing{Never: true}})
	if err != nil {
		return errors.Join(err, s.Close())
	}
	return errors.Join(do(e), e.Close(ctx), s.Close())
}

var measured = regexp.MustCompile(`BenchmarkCompute/(\w+)/(as_built|rewritten)\S*\s+\d+\s+([0-9.]+) ns/op`)

// metering measures the cost of the compute counters: the same Go code as built and as rewritten.
func (b *bench) metering(ctx context.Context) error {
	times := fmt.Sprint(2 * b.sizes.repeats)
	out, err := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", "BenchmarkCompute", "-benchtime", "0.3s", "-count", times, "./internal/guest/rewrite").Output()
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s\n", out)
		return err
	}
	took := map[string]map[string][]float64{}
	var order []string
	for _, m := range measured.FindAllSubmatch(out, -1) {
		name, kind := string(m[1]), string(m[2])
		if took[name] == nil {
			took[name] = map[string][]float64{}
			order = append(order, name)
		}
		ns, err := strconv.ParseFloat(string(m[3]), 64)
		if err != nil {
			return err
		}
		took[name][kind] = append(took[name][kind], ns)
	}
	for _, name := range order {
		was, is := slices.Min(took[name]["as_built"]), slices.Min(took[name]["rewritten"]) // outliers only make it slower
		b.put(figure{What: "counting in Go code, " + name, Value: 100 * (is - was) / was, Unit: "% slower", Goal: &goal{Limit: 25}})
	}
	return nil
}
