package main

import (
	"context"
	"fmt"
	"time"

	flawless "github.com/flawless-engine/flawless/sdk/go"
)

// Want is one thing that a run does; exactly one of its members says what. In is done while a state is
// held, and under a time-out.
type Want struct {
	State   string   `json:",omitempty"` // take it
	Within  int      `json:",omitempty"` // milliseconds for what is in In
	In      []Want   `json:",omitempty"`
	Await   string   `json:",omitempty"` // a run
	Spawn   []Want   `json:",omitempty"` // a child, and wait for it
	Other   string   `json:",omitempty"` // with Spawn: of this module
	Sleep   int      `json:",omitempty"` // milliseconds
	Receive string   `json:",omitempty"` // a message
	Post    string   `json:",omitempty"` // to a URL
	Beside  [][]Want `json:",omitempty"` // each in a goroutine; it is over with the first error, or when all are
}

// want carries out its input step by step, until there is an error.
func want(ctx context.Context, all []Want) (string, error) {
	for _, w := range all {
		if err := w.do(ctx); err != nil {
			return "", err
		}
	}
	return "done", nil
}

func (w *Want) do(ctx context.Context) (err error) {
	switch {
	case w.State != "":
		return flawless.State[int](w.State).Update(ctx, func(n *int) error {
			*n++
			_, err := want(ctx, w.In)
			return err
		})
	case w.Within != 0:
		ctx, cancel := context.WithTimeout(ctx, time.Duration(w.Within)*time.Millisecond)
		defer cancel()
		_, err = want(ctx, w.In)
	case w.Await != "":
		return w.ends(ctx, flawless.Await[string](w.Await))
	case w.Spawn != nil:
		name := "want"
		if w.Other != "" {
			name = w.Other + "/want"
		}
		return w.ends(ctx, flawless.Spawn[[]Want, string](ctx, name, w.Spawn))
	case w.Sleep != 0:
		return flawless.Sleep(ctx, time.Duration(w.Sleep)*time.Millisecond)
	case w.Receive != "":
		_, err = flawless.Receive[any](ctx, w.Receive)
	case w.Post != "":
		_, err = flawless.Post(ctx, w.Post, "text/plain", nil)
	case w.Beside != nil:
		errs := make(chan error)
		for _, all := range w.Beside {
			go func() {
				_, err := want(ctx, all)
				errs <- err
			}()
		}
		for range w.Beside {
			if err = <-errs; err != nil {
				return err
			}
		}
	}
	return err
}

// ends waits for another run that carries out its input.
func (w *Want) ends(ctx context.Context, c *flawless.Child[string]) error {
	out, err := c.Wait(ctx)
	if err == nil && out != "done" {
		return fmt.Errorf("run %s returned %q", c.ID(), out)
	}
	return err
}
