package flawless

import (
	"context"
	"errors"
	"time"

	"github.com/flawless-engine/flawless/sdk/go/internal/wire"
)

// defaultTimeout is the engine's default timeout of a call.
const defaultTimeout = 120 * time.Second

// within limits the timeout of a call to the time that ctx has left, or returns the cause of ctx if it has ended. A
// call that settles is idempotent and must have an outcome before its step is undone: the end of ctx withdraws it and
// its attempt continues, which would be impossible if its own timeout ended at the same moment.
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
		<-ctx.Done() // at once: its timer is due
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

// attemptTime returns how long an attempt at the call may take. After a call, that includes what its context had left.
func (o *options) attemptTime() time.Duration {
	if o.hasTimeout {
		return o.timeout
	}
	return defaultTimeout
}

// overdue returns the cause of ctx if a call has failed because the deadline of ctx has passed, otherwise nil. The
// engine's timeout and the timer of ctx end at the same moment; code gets the same error whichever comes first. It
// does not apply to an interrupted call: code must know that it may have taken effect.
func overdue(ctx context.Context, f *wire.Failure) error {
	if f.Reason != "timeout" || f.Kind != KindUnknown && f.Kind != "not_sent" {
		return nil
	}
	if deadline, ok := ctx.Deadline(); !ok || time.Now().Before(deadline) {
		return nil
	}
	<-ctx.Done() // at once: its timer is due
	return context.Cause(ctx)
}

// withdrawHead returns the head of the note that withdraws a call because its context has ended with err.
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
