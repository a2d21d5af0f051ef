package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/flawless-engine/flawless"
)

// holdAll holds back all runs that were open in a store when it was accepted as a copy, and returns when that is durable. It
// is called before any run continues. After a crash in the middle the next start continues with it.
func (e *Engine) holdAll(ctx context.Context) error {
	id := e.store.Identity()
	if !id.Holding {
		return nil
	}
	if !e.runs.OwnsAll() {
		return fmt.Errorf("another server owns some of its runs; start one server alone first: %w", flawless.Conflict)
	}
	p := flawless.Pause{Hold: true, Who: "the server", Note: "this store is a copy of " + id.Origin}
	if id.Accepted != nil {
		p.Note += ", accepted " + id.Accepted.UTC().Format(time.RFC3339)
	}
	p.Note += "; what the original has done since is not known here: find out, then resume the run or end it"
	n, err := e.holdOpen(ctx, &p, func(string) bool { return true })
	if err != nil {
		return err
	}
	e.log.Info("this store is a copy, all open runs are held back", "store", id.ID, "origin", id.Origin, "runs", n)
	for _, s := range e.schedules.List(nil) {
		if s.Paused {
			continue
		}
		if _, err := e.schedules.Pause(s.Name, p.Note); err != nil {
			return fmt.Errorf("pausing schedule %s: %w", s.Name, err)
		}
	}
	return e.store.Held(ctx, e.lease)
}

// holdOpen holds open runs back, and returns their number when that is durable.
func (e *Engine) holdOpen(ctx context.Context, p *flawless.Pause, which func(run string) bool) (n int, err error) {
	e.runs.HoldBack(p, which)
	defer e.runs.HoldBack(nil, nil)
	ids, err := e.unfinished(ctx)
	if err != nil {
		return 0, err
	}
	ids = slices.DeleteFunc(ids, func(id string) bool { return !which(id) })
	var all errgroup.Group
	all.SetLimit(64)
	for _, id := range ids {
		all.Go(func() error { return e.holdBack(ctx, id) })
	}
	return len(ids), all.Wait()
}

// unfinished returns the runs that are open, or have ended with calls that are still carried out.
func (e *Engine) unfinished(ctx context.Context) (ids []string, err error) {
	f := flawless.Filter{Status: flawless.OpenStatuses, Limit: 1000}
	for {
		runs, next, err := e.store.Runs(ctx, f)
		if err != nil {
			return nil, err
		}
		for _, r := range runs {
			ids = append(ids, r.ID)
		}
		if f.Cursor = next; next == "" {
			break
		}
	}
	for id, err := range e.store.Active(ctx, e.lease.Owned()) {
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// holdBack holds a run back, and returns when that is durable. Loading it does so.
func (e *Engine) holdBack(ctx context.Context, id string) error {
	r, err := e.runs.Acquire(ctx, id)
	switch {
	case errors.Is(err, flawless.NotFound), errors.Is(err, flawless.Damaged): // a quarantined run begins nothing
		return nil
	case err != nil:
		return err
	}
	defer r.Release()
	_, err = r.Durable(ctx)
	return err
}
