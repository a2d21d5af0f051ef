package retention

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
)

const (
	// First is the delay of the first sweep after the start. It is short, so that servers that restart often also
	// remove runs, but does not slow down the start.
	First = 10 * time.Second
	every = 15 * time.Minute
	// Page is the number of runs per batch. Each batch that removed something is followed by a pause, so that clients
	// do not wait for a sweep.
	Page  = 100
	pause = 20 * time.Millisecond
)

// Options configures a Sweeper.
type Options struct {
	Store   *store.Store
	Lease   *store.Lease
	Context context.Context // ends with the engine
	Now     func() time.Time
	// Settings returns the settings of a module.
	Settings func(module string) flawless.Settings
	// Owns reports whether this server removes a run.
	Owns func(run string) bool
	// InMemory reports whether a run is in memory.
	InMemory func(run string) bool
	// Tidy is called after each sweep unless it is nil. Its error is logged.
	Tidy func(ctx context.Context) error
	Log  *slog.Logger
}

// Sweeper removes ended runs.
type Sweeper struct{ o Options }

// New returns a Sweeper. It removes nothing before Serve is called.
func New(o Options) *Sweeper { return &Sweeper{o} }

// Finish completes the removals that a crash has interrupted in shards which this server has taken over.
func (s *Sweeper) Finish(shards []store.Shard) {
	if err := s.o.Store.FinishRemovals(s.o.Context, s.o.Lease, shards); err != nil && s.o.Context.Err() == nil {
		s.o.Log.Error("removing ended runs failed", "error", err)
	}
}

// Serve completes the removals that were interrupted in the first shards of the server, and removes expired runs in
// batches until the engine stops.
func (s *Sweeper) Serve(first []store.Shard) {
	next := time.NewTimer(First)
	defer next.Stop()
	s.Finish(first)
	for {
		select {
		case <-s.o.Context.Done():
			return
		case <-next.C:
		}
		next.Reset(every)
		n, err := s.removeEnded(s.o.Context)
		if err != nil && s.o.Context.Err() == nil {
			s.o.Log.Error("removing ended runs failed", "error", err)
		}
		if n > 0 {
			s.o.Log.Info("removed ended runs past their retention", "count", n)
		}
		if s.o.Tidy != nil {
			if err := s.o.Tidy(s.o.Context); err != nil && s.o.Context.Err() == nil {
				s.o.Log.Error("removing compiled code failed", "error", err)
			}
		}
	}
}

// removeEnded removes all runs that have expired by now and returns how many.
func (s *Sweeper) removeEnded(ctx context.Context) (n int, err error) {
	modules, err := s.o.Store.ModulesWithRuns(ctx)
	if err != nil {
		return 0, err
	}
	for _, module := range modules {
		set := s.o.Settings(module)
		keep, ends := set.Retention()
		if !ends {
			continue
		}
		over := s.o.Now().Add(-keep)
		f := flawless.Filter{Module: module, Status: flawless.EndedStatuses, Until: over, Limit: Page}
		for more := true; more; {
			runs, next, err := s.o.Store.Runs(ctx, f)
			if err != nil {
				return n, err
			}
			before := n
			for _, r := range runs {
				removed, err := s.Remove(ctx, r, over)
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
			case <-time.After(pause):
			case <-ctx.Done():
				return n, ctx.Err()
			}
		}
	}
	return n, nil
}

// Remove removes a run that ended before a given time, unless it is in memory or its parent is open.
func (s *Sweeper) Remove(ctx context.Context, r flawless.Run, over time.Time) (bool, error) {
	if r.Ended == nil || !r.Ended.Before(over) || r.Problem != "" || len(r.Unresolved) > 0 {
		return false, nil
	}
	if r.Parent != "" {
		parent, err := s.o.Store.Head(ctx, r.Parent)
		if err != nil && !errors.Is(err, flawless.NotFound) || err == nil && !parent.Run.Status.Ended() {
			return false, ignoreDamage(err)
		}
	}
	if !s.o.Owns(r.ID) || s.o.InMemory(r.ID) {
		return false, nil
	}
	err := s.o.Store.Remove(ctx, s.o.Lease, r.ID, r.Parent == "" && Keyed(r.ID))
	switch {
	case errors.Is(err, flawless.Conflict), errors.Is(err, flawless.NotFound), errors.Is(err, flawless.Damaged), errors.Is(err, flawless.Fenced):
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

// Keyed reports whether the caller chose the id. A generated id contains its time, so nobody asks for it again long
// after.
func Keyed(id string) bool {
	rest, made := strings.CutPrefix(id, "wkf_")
	return !made || len(rest) != 26 || strings.Trim(rest, "0123456789abcdefghjkmnpqrstvwxyz") != ""
}
