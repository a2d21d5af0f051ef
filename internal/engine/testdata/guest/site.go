package main

import (
	"context"

	flawless "github.com/flawless-engine/flawless/sdk/go"
)

// site makes calls in ways that end on one line or go through others. Each of these lines has the numbers of
// the calls that are to tell it as their site; call 1 is the one that tells of a cancellation.
func site(ctx context.Context, url string) (any, error) {
	for range 2 {
		_, _ = flawless.Get(ctx, url) // site 2 3
	}
	small(ctx, url)
	func() {
		_, _ = flawless.Post(ctx, url, "text/plain", nil) // site 5
	}()
	_, _ = flawless.Do(ctx, flawless.Request{URL: url}) // site 6
	_, _ = flawless.GetJSON[any](ctx, url)              // site 7
	var get func(context.Context, string, ...flawless.Option) (*flawless.Response, error) = flawless.Get
	_, _ = get(ctx, url) // site 8
	small(ctx, url)
	return nil, nil
}

// small is inlined.
func small(ctx context.Context, url string) {
	_, _ = flawless.Get(ctx, url) // site 4 9
}
