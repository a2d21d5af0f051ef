package main

import (
	"context"
	"errors"
	"runtime"

	flawless "github.com/flawless-engine/flawless/sdk/go"
)

// Flood is how many messages go to another run, all of them at once.
type Flood struct {
	To string
	N  int
}

// flood sends the numbers from 0 on, in order, and then waits until all have been delivered.
func flood(ctx context.Context, in Flood) (int, error) {
	errs := make(chan error, in.N)
	for n := range in.N {
		go func() { errs <- flawless.Send(ctx, in.To, "number", n) }()
		runtime.Gosched() // until the call is made
	}
	var all error
	for range in.N {
		all = errors.Join(all, <-errs)
	}
	return in.N, all
}

// wary waits for the end of another run, and says which error it was given.
func wary(ctx context.Context, run string) (string, error) {
	_, err := flawless.Await[any](run).Wait(ctx)
	var call *flawless.CallError
	if errors.As(err, &call) {
		return call.Kind, nil
	}
	return "", err
}
