package engine

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/flawless-engine/flawless"
)

const (
	// sweepFirst is how soon after the start the first sweep comes, so that a server that never runs for
	// long also removes what is over, and the start is not slowed down.
	sweepFirst = 10 * time.Second
	sweepEvery = 15 * time.Minute
	sweepPage  = 100
	// sweepPause comes after each page of which something was removed: clients do not wait for a sweep.
	sweepPause = 20 * time.Millisecond
)

// retain removes runs whose time is over, a few at a time, until the engine stops.
func (e *Engine) retain() {
	next := time.NewTimer(sweepFirst)
	defer next.Stop()
	if err := e.store.FinishRemovals(e.ctx, e.lease); err != nil && e.ctx.Err() == nil {
		e.log.Error("removing ended runs", "error", err)
	}
	for {
		select {
		case <-e.ctx.Done():
			return
		case <-next.C:
		}
		next.Reset(sweepEvery)
		n, err := e.removeEnded(e.ctx)
		if err != nil && e.ctx.Err() == nil {
			e.log.Error("removing ended runs", "error", err)
		}
		if n > 0 {
			e.log.Info("ended runs were removed, their time is over", "count", n)
		}
		if e.ownCode {
			if err := e.tidyCode(e.ctx); err != nil && e.ctx.Err() == nil {
				e.log.Error("removing compiled code", "error", err)
			}
		}
	}
}

var endedStatuses = []flawless.Status{flawless.Completed, flawless.Failed, flawless.Cancelled, flawless.Terminated}

// removeEnded removes the runs whose time is over by now, and returns how many.
func (e *Engine) removeEnded(ctx context.Context) (n int, err error) {
	modules, err := e.store.ModulesWithRuns(ctx)
	if err != nil {
		return 0, err
	}
	for _, module := range modules {
		set := e.policy.Module(module)
		keep, ends := set.Retention()
		if !ends {
			continue
		}
		over := e.clockNow().Add(-keep)
		f := flawless.Filter{Module: module, Status: endedStatuses, Until: over, Limit: sweepPage}
		for more := true; more; {
			runs, next, err := e.store.Runs(ctx, f)
			if err != nil {
				return n, err
			}
			before := n
			for _, r := range runs {
				removed, err := e.removeOver(ctx, r, over)
				if err != nil {
					return n, err
				}
				if removed {
					n++
				}
			}
			f.Cursor, more = next, next != ""
			if n == before || !more {
				continue
			}
			select {
			case <-time.After(sweepPause):
			case <-ctx.Done():
				return n, ctx.Err()
			}
		}
	}
	return n, nil
}

// removeOver removes a run if it ended before a moment, nobody has it in hand, and its parent is not
// open.
func (e *Engine) removeOver(ctx context.Context, r flawless.Run, over time.Time) (bool, error) {
	if r.Ended == nil || !r.Ended.Before(over) || r.Problem != "" || len(r.Unresolved) > 0 {
		return false, nil
	}
	if r.Parent != "" {
		parent, err := e.store.Head(ctx, r.Parent)
		if err != nil && !errors.Is(err, flawless.NotFound) || err == nil && !parent.Run.Status.Ended() {
			return false, ignoreDamage(err)
		}
	}
	e.mu.Lock()
	_, held := e.runs[r.ID]
	e.mu.Unlock()
	if held {
		return false, nil
	}
	err := e.store.Remove(ctx, e.lease, r.ID, r.Parent == "" && keyed(r.ID))
	switch {
	case errors.Is(err, flawless.Conflict), errors.Is(err, flawless.NotFound), errors.Is(err, flawless.Damaged):
		return false, nil
	}
	return err == nil, err
}

func ignoreDamage(err error) error {
	if errors.Is(err, flawless.Damaged) {
		return nil
	}
	return err
}

// keyed tells whether an id is a caller's own key. One that an engine or a client has made up has its
// time in it, and is not asked for again long after.
func keyed(id string) bool {
	rest, made := strings.CutPrefix(id, "wkf_")
	return !made || len(rest) != 26 || strings.Trim(rest, "0123456789abcdefghjkmnpqrstvwxyz") != ""
}
