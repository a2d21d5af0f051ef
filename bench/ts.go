package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
	"github.com/flawless-engine/flawless/internal/guest"
	"github.com/flawless-engine/flawless/internal/rusttest"
	"github.com/flawless-engine/flawless/internal/tsbuild"
)

// typeScript measures guests in TypeScript in this process without storage, and then beside those in Go and Rust on one
// server.
func (b *bench) typeScript(ctx context.Context) error {
	dir := filepath.Join("bench", "ts")
	t := time.Now()
	built, err := tsbuild.Build(ctx, dir)
	if err != nil {
		return err
	}
	b.put(figure{What: "bundle and link a small project", Value: millis(time.Since(t)), Unit: "ms"})
	b.put(figure{What: "its module", Value: float64(len(built.Module)) / 1024, Unit: "KiB"})
	if err := b.typeScriptInside(ctx, built.Module); err != nil {
		return err
	}
	return b.languages(ctx, built.Module)
}

func (b *bench) typeScriptInside(ctx context.Context, bin []byte) error {
	rt, err := guest.NewRuntime(ctx, guest.Options{CacheDir: filepath.Join(b.dir, "compiled-ts")})
	if err != nil {
		return err
	}
	defer func() { _ = rt.Close(ctx) }()
	t := time.Now()
	m, err := rt.Load(ctx, bin, nil)
	if err != nil {
		return err
	}
	defer func() { _ = m.Close(ctx) }()
	b.put(figure{What: "load the first module: rewrite, compile and initialise", Value: millis(time.Since(t)), Unit: "ms", Goal: &goal{Limit: 1000}})
	other := bytes.Replace(bin, []byte("1999"), []byte("2999"), 1)
	t = time.Now()
	second, err := rt.Load(ctx, other, nil)
	if err != nil {
		return err
	}
	b.put(figure{What: "load another one, which has the same engine", Value: millis(time.Since(t)), Unit: "ms", Goal: &goal{Limit: 1000}})
	_ = second.Close(ctx)

	each, err := b.firstTurns(ctx, m)
	if err != nil {
		return err
	}
	b.put(figure{What: "start of a run to its first turn done, without storage", Value: median(each), Unit: "µs", Samples: each, Goal: &goal{Limit: 100}})

	rate, err := replays(ctx, m)
	if err != nil {
		return err
	}
	b.put(figure{What: fmt.Sprintf("replay of a logged chain of %s POSTs", thousands(posts)), Value: rate, Unit: "turns/s", Goal: &goal{Limit: 8000, AtLeast: true}})

	start := begin("chain", []any{"https://pay.example/charges", 10})
	i, err := m.Start(ctx, start)
	if err != nil {
		return err
	}
	defer i.Release()
	if _, err := i.Turn(ctx, guest.In{Time: start.Time}); err != nil {
		return err
	}
	frozen, err := i.Freeze()
	if err != nil {
		return err
	}
	b.put(figure{What: "a guest that waits in its first call, frozen", Value: float64(len(frozen)), Unit: "bytes", Goal: &goal{Limit: 16 << 10}})
	b.put(figure{What: "its memory beside the base image", Value: float64(i.Weight()) / 1024, Unit: "KiB"})
	return nil
}

// languages measures 64 clients whose runs make ten POSTs each, with guests in Go, Rust and TypeScript on one server.
func (b *bench) languages(ctx context.Context, ts []byte) error {
	rust, err := rusttest.Build(filepath.Join("sdk", "rust", "guests", "beside"), rusttest.WASI)
	if err != nil {
		return err
	}
	s, err := b.serve(ctx)
	if err != nil {
		return err
	}
	defer s.end()
	for name, bin := range map[string][]byte{"ts": ts, "rust": rust} {
		if _, _, err := s.AddModule(ctx, name, bin, nil); err != nil {
			return err
		}
	}
	const n = 10
	list, err := json.Marshal([]any{b.url, n})
	if err != nil {
		return err
	}
	for _, lang := range []struct{ name, module string }{{"Go", "bench"}, {"Rust", "rust"}, {"TypeScript", "ts"}} {
		if err := b.floors(ctx); err != nil {
			return err
		}
		rate, err := b.manyOf(ctx, []*server{s}, func(ctx context.Context, c *client.Client) error {
			if lang.module == "bench" {
				_, err := complete(ctx, c, "chain", map[string]any{"url": b.url, "n": n})
				return err
			}
			r, _, err := c.Start(ctx, client.Start{Module: lang.module, Workflow: "chain", Input: list}, true)
			if err == nil && r.Status != flawless.Completed {
				err = fmt.Errorf("a run is %s: %+v", r.Status, r.Failure)
			}
			return err
		})
		if err != nil {
			return err
		}
		b.put(figure{What: fmt.Sprintf("64 clients, runs of %d POSTs in %s", n, lang.name), Value: rate * n, Unit: "calls/s"})
	}
	return nil
}
