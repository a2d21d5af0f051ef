package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/guest"
	"github.com/flawless-engine/flawless/internal/replay"
)

// yield is called between the quanta of a turn.
func (r *run) yield() {
	r.mayTakeLong()
	r.reportLong()
	r.e.residency.Compute.Yield()
}

// reportLong writes a line to the server's log when a turn takes long, and further ones ever more rarely. The
// code may compute for good reasons, or wait for something in a loop, which it will do for ever: time stands
// still within a turn, and nothing reaches the guest.
func (r *run) reportLong() {
	const rarer = 6
	took := time.Since(r.since)
	if r.since.IsZero() || took < r.tell {
		return
	}
	r.tell = rarer * took
	r.e.log.Warn("a turn takes long", "run", r.id, "module", r.s.Start().Module, "workflow", r.s.Start().Workflow, "seconds", int(took.Seconds()))
}

var errSlow = errors.New("the turn took too long")

// compute lets the guest take a turn. One that takes too long has failed: nothing of what it did is
// kept, as it depends on the machine how far it came. After an error the guest is given back.
func (r *run) compute(ctx context.Context, in guest.In) (guest.Out, error) {
	limited := ctx
	if r.e.turnTime > 0 {
		var stop context.CancelFunc
		limited, stop = context.WithTimeoutCause(ctx, r.e.turnTime, errSlow)
		defer stop()
	}
	out, err := r.inst.Turn(limited, in)
	if err == nil {
		return out, nil
	}
	r.drop()
	if ctx.Err() == nil && errors.Is(context.Cause(limited), errSlow) {
		return guest.Out{Ended: &flawless.Ended{Failure: &flawless.Failure{Kind: replay.TooSlow,
			Message: fmt.Sprintf("the turn took longer than %v, which the server allows (--turn-time)", r.e.turnTime)}}}, nil
	}
	return out, err
}
