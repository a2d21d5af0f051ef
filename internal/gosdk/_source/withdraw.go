package flawless

import (
	"context"
	"errors"
	"time"

	"github.com/flawless-engine/flawless/sdk/go/internal/wire"
)

// defaultTimeout is the engine's time-out of a call that has none of its own.
const defaultTimeout = 120 * time.Second

// within gives a call no more time than ctx has left, or returns why ctx has ended. A call that settles is
// idempotent and must have an outcome before its step is undone: ctx's end withdraws it and its try goes on,
// which it could not if that were the end of its own time, too.
func (o *options) within(ctx context.Context, settles bool) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	deadline, ok := ctx.Deadline()
	if !ok {
		return nil
	}
	left := time.Until(deadline)
	if left <= 0 {
		<-ctx.Done() // in this moment: its timer is due
		return context.Cause(ctx)
	}
	if settles {
		return nil
	}
	if o.hasTimeout && left < o.timeout || !o.hasTimeout && left < defaultTimeout {
		o.timeout, o.hasTimeout = left, true
	}
	return nil
}

// overdue returns the cause of ctx where a call has failed because ctx's deadline has passed, else nil. The
// engine's time-out and ctx's own timer end in the same moment: code gets one error, whichever comes first.
// An interrupted call is not meant: code has to know that it may have taken effect.
func overdue(ctx context.Context, f *wire.Failure) error {
	if f.Reason != "timeout" || f.Kind != KindUnknown && f.Kind != "not_sent" {
		return nil
	}
	if deadline, ok := ctx.Deadline(); !ok || time.Now().Before(deadline) {
		return nil
	}
	<-ctx.Done() // in this moment: its timer is due
	return context.Cause(ctx)
}

// withdrawHead is the head of the call that withdraws another one, because its context has ended with err.
func withdrawHead(call int, err error, settle bool) []byte {
	o := wire.NewObject(nil)
	o.Int("call", int64(call))
	if errors.Is(err, context.DeadlineExceeded) {
		o.Str("why", "deadline")
	} else {
		o.Str("why", "cancelled")
	}
	if settle {
		o.Bool("settle", true)
	}
	return o.End()
}
