package history

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/core"
)

// Hold holds back all runs that were open in a store when it was accepted as a copy, and returns when that is durable. It
// is called before any run continues. After a crash in the middle the next start continues with it.
func (k *Keeper) Hold(ctx context.Context) error {
	id := k.o.Store.Identity()
	if !id.Holding {
		return nil
	}
	if !k.o.Runs.OwnsAll() {
		return fmt.Errorf("another server owns some of its runs; start one server alone first: %w", flawless.Conflict)
	}
	p := flawless.Pause{Hold: true, Who: "the server", Note: "this store is a copy of " + id.Origin}
	if id.Accepted != nil {
		p.Note += ", accepted " + id.Accepted.UTC().Format(time.RFC3339)
	}
	p.Note += "; what the original has done since is not known here: find out, then resume the run or end it"
	n, err := k.holdOpen(ctx, &p, func(string) bool { return true })
	if err != nil {
		return err
	}
	k.o.Log.Info("this store is a copy, all open runs are held back", "store", id.ID, "origin", id.Origin, "runs", n)
	if err := k.o.PauseSchedules(p.Note); err != nil {
		return err
	}
	return k.o.Store.Held(ctx, k.o.Lease)
}

// holdOpen holds open runs back, and returns their number when that is durable.
func (k *Keeper) holdOpen(ctx context.Context, p *flawless.Pause, which func(run string) bool) (n int, err error) {
	k.o.Runs.HoldBack(p, which)
	defer k.o.Runs.HoldBack(nil, nil)
	ids, err := k.unfinished(ctx)
	if err != nil {
		return 0, err
	}
	ids = slices.DeleteFunc(ids, func(id string) bool { return !which(id) })
	var all errgroup.Group
	all.SetLimit(64)
	for _, id := range ids {
		all.Go(func() error { return k.holdBack(ctx, id, p) })
	}
	return len(ids), all.Wait()
}

// unfinished returns the runs that are open, or have ended with calls that are still carried out, each once.
func (k *Keeper) unfinished(ctx context.Context) (ids []string, err error) {
	f := flawless.Filter{Status: flawless.OpenStatuses, Limit: 1000}
	for {
		runs, next, err := k.o.Store.Runs(ctx, f)
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
	for id, err := range k.o.Store.Active(ctx, k.o.Lease.Owned()) {
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	slices.Sort(ids) // an open run may be active, too
	return slices.Compact(ids), nil
}

// holdBack holds a run back, and returns when that is durable. Loading it does so; one that is in memory begins nothing more.
func (k *Keeper) holdBack(ctx context.Context, id string, p *flawless.Pause) error {
	_, err := k.o.Change(ctx, id, func(s *core.State, now int64) ([]flawless.Entry, error) { return s.Hold(*p, now), nil })
	if errors.Is(err, flawless.NotFound) || errors.Is(err, flawless.Damaged) { // a quarantined run begins nothing
		return nil
	}
	return err
}
