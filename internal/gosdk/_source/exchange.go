package flawless

import (
	"context"

	"github.com/flawless-engine/flawless/sdk/go/internal/abi"
	"github.com/flawless-engine/flawless/sdk/go/internal/turn"
	"github.com/flawless-engine/flawless/sdk/go/internal/wire"
)

// note makes a call that has no answer.
func note(kind string, head, body []byte) { abi.Call(kind, head, body) }

// makeCall makes a call and returns its number.
func makeCall(kind string, head, body []byte) (int, error) {
	if current.Load() == nil {
		return 0, ErrOutside
	}
	if err := checkBody(kind, "", body); err != nil {
		return 0, err
	}
	n := abi.Call(kind, head, body)
	if n < 0 {
		select {} // the workflow has returned: its goroutines go no further
	}
	return n, nil
}

// exchange makes a call that the engine carries out by itself, and waits for its answer, whose head it puts into h. It
// returns the number of the call, or 0 if it made none. It makes no call if ctx has ended. Once the call is made, it
// waits even if ctx ends: the answer takes only a moment, and code that got the error of ctx would make the call again.
func exchange(ctx context.Context, kind string, head, body []byte, h *wire.Head) (int, []byte, error) {
	if current.Load() == nil {
		return 0, nil, ErrOutside
	}
	if ctx.Err() != nil {
		return 0, nil, context.Cause(ctx)
	}
	n, err := makeCall(kind, head, body)
	if err != nil {
		return 0, nil, err
	}
	answer, err := turn.Take(n, h)
	return n, answer, err
}

// httpExchange makes an http call and waits for its answer. If ctx ends first, it withdraws the call and waits for the
// engine's reply: the result is the cause of ctx if the call never begins or may be abandoned, and its outcome
// otherwise. With settle, it always waits for the outcome of a call that has begun.
func httpExchange(ctx context.Context, head, body []byte, settle bool, h *wire.Head) (int, []byte, error) {
	if current.Load() == nil {
		return 0, nil, ErrOutside
	}
	n, err := makeCall("http", head, body)
	if err != nil {
		return 0, nil, err
	}
	if turn.WaitNew(ctx, n) {
		answer, err := abi.Take(n, h)
		return n, answer, err
	}
	note("withdraw", withdrawHead(n, ctx.Err(), settle), nil)
	answer, err := turn.Take(n, h)
	if err == nil && h.Failure != nil && h.Failure.Kind == "withdrawn" {
		return n, nil, context.Cause(ctx)
	}
	return n, answer, err
}
