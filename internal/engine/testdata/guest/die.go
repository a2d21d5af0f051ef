package main

import (
	"context"

	flawless "github.com/flawless-engine/flawless/sdk/go"
)

type link struct {
	next *link
	data [1 << 16]byte
}

var chained *link

// hog takes all the memory there is.
func hog(context.Context, any) (any, error) {
	for {
		chained = &link{next: chained}
	}
}

// swell takes some MiB of memory, and keeps them until a message comes.
func swell(ctx context.Context, size int) (int, error) {
	held := make([]byte, size<<20)
	_, err := flawless.Receive[any](ctx, "shrink")
	return len(held), err
}

// sink calls itself until the stack is too deep.
func sink(_ context.Context, n int) (int, error) { return deeper(n), nil }

func deeper(n int) int {
	if n == 0 {
		return 0
	}
	return deeper(n-1) + n
}
