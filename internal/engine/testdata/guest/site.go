package main

import (
	"context"

	flawless "github.com/flawless-engine/flawless/sdk/go"
)

// site makes calls in ways that end on one line or go through others. Each of these lines has the numbers of
// the calls that are to tell it as their site, or as the line that they were made through; call 1 is the one that
// tells of a cancellation.
func site(ctx context.Context, url string) (any, error) {
	for range 2 {
		_, _ = flawless.Get(ctx, url) // site 2 3
	}
	small(ctx, url) // via 4
	func() {
		_, _ = flawless.Post(ctx, url, "text/plain", nil) // site 5
	}()
	_, _ = flawless.Do(ctx, flawless.Request{URL: url}) // site 6
	_, _ = flawless.GetJSON[any](ctx, url)              // site 7
	var get func(context.Context, string, ...flawless.Option) (*flawless.Response, error) = flawless.Get
	_, _ = get(ctx, url) // site 8
	small(ctx, url)      // via 9
	deep(ctx, url, 3)    // via 10
	done := make(chan struct{})
	go func() {
		defer close(done)
		deep(ctx, url, 0) // via 11
	}()
	<-done
	return nil, nil
}

// deep calls itself, and is not inlined.
//
//go:noinline
func deep(ctx context.Context, url string, n int) {
	if n > 0 {
		deep(ctx, url, n-1)
		return
	}
	_, _ = flawless.Get(ctx, url) // site 10 11
}

// small is inlined.
func small(ctx context.Context, url string) {
	_, _ = flawless.Get(ctx, url) // site 4 9
}
