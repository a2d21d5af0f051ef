package flawless

import (
	"context"

	"github.com/flawless-engine/flawless/sdk/go/internal/site"
)

// Decode and Encode call decode and encode.
func Decode(input []byte, in any) error { return decode(input, in) }
func Encode(v any) ([]byte, error)      { return encode(v) }

// CallSite returns the call site of its caller.
func CallSite() string { return site.Caller(1) }

// Explained calls explained.
func Explained(text string) string { return explained(text) }

// CarryOut runs f as a workflow and returns its ending.
func CarryOut(ctx context.Context, f func(context.Context) (any, error)) []byte {
	done := make(chan []byte, 1)
	CarryOutTo(ctx, f, done)
	return <-done
}

// CarryOutTo runs f as a workflow and sends its ending to done.
func CarryOutTo(ctx context.Context, f func(context.Context) (any, error), done chan<- []byte) {
	w := workflow{run: func(ctx context.Context, _ []byte) (any, error) { return f(ctx) }}
	w.carryOut(ctx, nil, func(end ending) { done <- end.text })
}
