package flawless

import (
	"context"

	"github.com/flawless-engine/flawless/sdk/go/internal/site"
)

// Decode is decode, and Encode encode.
func Decode(input []byte, in any) error { return decode(input, in) }
func Encode(v any) ([]byte, error)      { return encode(v) }

// CallSite is callSite, seen from a test outside the package.
func CallSite() string { return site.Caller(1) }

// Explained is explained.
func Explained(text string) string { return explained(text) }

// CarryOut returns how a workflow with this function ends.
func CarryOut(ctx context.Context, f func(context.Context) (any, error)) []byte {
	done := make(chan []byte, 1)
	CarryOutTo(ctx, f, done)
	return <-done
}

// CarryOutTo sends how a workflow with this function ends.
func CarryOutTo(ctx context.Context, f func(context.Context) (any, error), done chan<- []byte) {
	w := workflow{run: func(ctx context.Context, _ []byte) (any, error) { return f(ctx) }}
	w.carryOut(ctx, nil, func(end ending) { done <- end.text })
}
