package main

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strconv"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/engine"
)

// together measures interactions between runs, on an engine in this process with its store on disk.
func (b *bench) together(ctx context.Context) error {
	rt, _, err := b.guests(ctx)
	if err != nil {
		return err
	}
	defer rt.Close(ctx)
	return withEngine(ctx, filepath.Join(b.dir, "together"), rt, func(e *engine.Engine) error {
		if _, _, err := e.AddModule(ctx, "bench", b.module, nil); err != nil {
			return err
		}
		for _, step := range []func(context.Context, *engine.Engine) error{b.fanOut, b.pingPong, b.contend} {
			if err := step(ctx, e); err != nil {
				return err
			}
		}
		return nil
	})
}

func (b *bench) fanOut(ctx context.Context, e *engine.Engine) error {
	n := b.sizes.children
	began := time.Now()
	if err := finish(ctx, e, "family", "family", n); err != nil {
		return err
	}
	b.put(figure{What: fmt.Sprintf("%d children spawned and awaited", n), Value: micros(time.Since(began)) / 1000, Unit: "ms"})
	return nil
}

func (b *bench) pingPong(ctx context.Context, e *engine.Engine) error {
	n := b.sizes.messages
	began := time.Now()
	if err := launch(ctx, e, "pingpong", "pong", map[string]any{"n": n / 2}); err != nil {
		return err
	}
	if err := finish(ctx, e, "pingpong", "ping", map[string]any{"n": n / 2, "other": "pong"}); err != nil {
		return err
	}
	b.put(figure{What: fmt.Sprintf("%d messages between two runs, one after another", n), Value: float64(n) / time.Since(began).Seconds(), Unit: "messages/s"})
	return nil
}

func (b *bench) contend(ctx context.Context, e *engine.Engine) error {
	n := b.sizes.contending
	began := time.Now()
	for k := range n {
		if err := launch(ctx, e, "add", "add"+strconv.Itoa(k), nil); err != nil {
			return err
		}
	}
	for k := range n {
		if r, err := e.Wait(ctx, "add"+strconv.Itoa(k)); err != nil || r.Status != flawless.Completed {
			return fmt.Errorf("a run is %s: %w", r.Status, err)
		}
	}
	took := time.Since(began)
	if s, err := e.States().State(ctx, "sum"); err != nil || string(s.Value) != strconv.Itoa(n) {
		return fmt.Errorf("the state is %s: %w", s.Value, err)
	}
	b.put(figure{What: fmt.Sprintf("%d runs that change one state, from the first start to the last end", n), Value: micros(took) / 1000, Unit: "ms"})
	return nil
}

func launch(ctx context.Context, e *engine.Engine, workflow, id string, in any) error {
	text, err := json.Marshal(in)
	if err == nil {
		_, _, err = e.Start(ctx, engine.Start{Module: "bench", Workflow: workflow, ID: id, Input: text})
	}
	return err
}

func finish(ctx context.Context, e *engine.Engine, workflow, id string, in any) error {
	if err := launch(ctx, e, workflow, id, in); err != nil {
		return err
	}
	r, err := e.Wait(ctx, id)
	if err == nil && r.Status != flawless.Completed {
		err = fmt.Errorf("run %s is %s: %+v", id, r.Status, r.Failure)
	}
	return err
}
