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
	// First is how soon after the start the first sweep comes, so that a server that never runs for long also removes what
	// is over, and the start is not slowed down.
	First = 10 * time.Second
	every = 15 * time.Minute
	// Page is how many runs are looked at at a time. A pause comes after each page of which something was removed: clients
	// do not wait for a sweep.
	Page  = 100
	pause = 20 * time.Millisecond
)

// Options says what a Sweeper works with.
type Options struct {
	Store   *store.Store
	Lease   store.Lease
	Context context.Context // of the engine's work
	Now     func() time.Time
	// Settings returns how the runs of a module are treated.
	Settings func(module string) flawless.Settings
	// InHand tells whether a run is in memory.
	InHand func(run string) bool
	// Tidy is called after each sweep; nil is nothing. It returns an error to be logged.
	Tidy func(ctx context.Context) error
	Log  *slog.Logger
}

// Sweeper removes ended runs.
type Sweeper struct{ o Options }

// New returns a Sweeper that removes nothing before Serve is called.
func New(o Options) *Sweeper { return &Sweeper{o} }

// Serve removes runs whose time is over, a few at a time, until the engine stops.
func (s *Sweeper) Serve() {
	next := time.NewTimer(First)
	defer next.Stop()
	if err := s.o.Store.FinishRemovals(s.o.Context, s.o.Lease); err != nil && s.o.Context.Err() == nil {
		s.o.Log.Error("removing ended runs failed", "error", err)
	}
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

// removeEnded removes the runs whose time is over by now, and returns how many.
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

// Remove removes a run if it ended before a moment, nobody has it in hand, and its parent is not
// open.
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
	if s.o.InHand(r.ID) {
		return false, nil
	}
	err := s.o.Store.Remove(ctx, s.o.Lease, r.ID, r.Parent == "" && Keyed(r.ID))
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

// Keyed tells whether an id is a caller's own key. One that an engine or a client has made up has its
// time in it, and is not asked for again long after.
func Keyed(id string) bool {
	rest, made := strings.CutPrefix(id, "wkf_")
	return !made || len(rest) != 26 || strings.Trim(rest, "0123456789abcdefghjkmnpqrstvwxyz") != ""
}
