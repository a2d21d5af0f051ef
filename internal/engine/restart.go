package engine

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/flawless-engine/flawless"
)

// Restart starts a new run on the terms of one that has ended without output: its input, labels, place in the
// queue, and as much time as that one had until its deadline. It takes the version that was asked for when
// that one was started, version where that is set, or else the newest. With the same id it starts one run,
// however often it is asked for; "" makes a new one.
func (e *Engine) Restart(ctx context.Context, of, id, version string) (flawless.Run, error) {
	r, err := e.Run(ctx, of)
	if err != nil {
		return r, err
	}
	if !r.Status.Ended() || r.Status == flawless.Completed {
		return r, fmt.Errorf("restarting run %s: it is %s; only a run that failed, was cancelled or terminated can be: %w", of, r.Status, flawless.Conflict)
	}
	first, err := e.begun(ctx, of)
	if err != nil {
		return r, err
	}
	o := again(*first, e.clockNow())
	o.ID, o.Of, o.Version = id, of, cmp.Or(version, o.Version)
	again, _, err := e.Start(ctx, o)
	return again, err
}

// again asks for a run on the terms of one that was started before.
func again(s flawless.Start, now time.Time) Start {
	o := Start{Module: s.Module, Workflow: s.Workflow, Version: s.Version, Input: s.Input, Labels: s.Labels, Grace: time.Duration(s.Grace)}
	if s.Place != nil {
		o.Place = *s.Place
	}
	if at := s.DeadlineFrom(now.UnixNano()); at != 0 {
		o.Deadline = time.Unix(0, at)
	}
	return o
}
