package borrow

import (
	"context"
	"maps"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/core"
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/store"
)

// Hold is a lock of a state by a call of a run.
type Hold struct {
	State string         `cbor:"1,keyasint"`
	Lock  flawless.Claim `cbor:"2,keyasint"`
}

// CheckHolders ends the holds of those runs that have ended, or do not want them any more, among the holders of states that
// others wait for. A run may have ended, or stopped waiting, while this server could not be told.
func (s *States) CheckHolders(ctx context.Context) {
	contested := s.o.Locks.Contested()
	s.forget(contested)
	var all errgroup.Group
	all.SetLimit(16)
	for name, holder := range contested {
		all.Go(func() error {
			s.checkHolder(ctx, Hold{name, holder})
			return nil
		})
	}
	_ = all.Wait()
}

func (s *States) checkHolder(ctx context.Context, h Hold) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	here := s.o.OwnsRun(h.Lock.Run) == nil
	held, err := false, error(nil)
	switch {
	case s.o.Gone(h.Lock):
	case here && s.isSure(h):
		held = true
	case here:
		if held, err = s.Holds(ctx, h); held {
			s.setSure(h)
		}
	default:
		held, err = opHolds.Ask(ctx, s.o.Peers, store.ShardOf(h.Lock.Run), h)
	}
	if err == nil && !held { // if its server is away, the next check finds the new one
		s.o.Report(h, s.o.Locks.EndHold(h.State, h.Lock))
	}
}

// Holds reports whether a call of a run of this server needs the hold of a state: it waits for it, or was told that it has it
// and has not ended it. When in doubt it does.
func (s *States) Holds(ctx context.Context, h Hold) (bool, error) {
	waits, changes, ended := false, false, false
	err := s.o.View(ctx, h.Lock.Run, func(s *core.State) {
		waits, changes, ended = s.Call(h.Lock.Call) != nil, s.ChangesState(h.Lock.Call), s.Outcome() != ""
	})
	switch {
	case err != nil:
		return false, err
	case changes:
		return true, nil
	case ended:
		return false, nil
	case waits, s.o.Graph.LocksAway(h.Lock.Run, h.State, h.Lock.Call):
		return true, nil
	}
	over, err := s.unlocked(ctx, h.Lock)
	if err == nil && !over && s.o.Owns(h.State) != nil {
		s.o.Graph.LockAway(h.Lock.Run, h.State, h.Lock.Call) // so that the log is not read each time
	}
	return !over, err
}

// unlocked reports whether the log of a run has the end of a lock: an error, or a call that has ended the hold.
func (s *States) unlocked(ctx context.Context, lock flawless.Claim) (over bool, err error) {
	ends := map[int]bool{} // calls that end the hold
	for rec, err := range s.o.Log(ctx, lock.Run, 0) {
		if err != nil {
			return false, err
		}
		for _, x := range rec.Entries {
			switch {
			case x.Turn != nil:
				for _, c := range x.Turn.Calls {
					if h, err := effect.ParseState(c); c.Kind == effect.State && err == nil && h.Lock == lock.Call {
						ends[c.N] = true
					}
				}
			case x.Arrival == nil:
			case x.Arrival.Call == lock.Call:
				over = effect.IsError(x.Arrival.Answer)
			case ends[x.Arrival.Call] && !effect.IsError(x.Arrival.Answer):
				over = true
			}
		}
	}
	return over, nil
}

// isSure reports whether a holder is known to need its hold.
func (s *States) isSure(h Hold) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sure[h.State] == h.Lock
}

func (s *States) setSure(h Hold) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sure[h.State] = h.Lock
}

// forget forgets locks that have been over for long, and holders that nobody waits for.
func (s *States) forget(contested map[string]flawless.Claim) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.over, func(_ Hold, at time.Time) bool { return time.Since(at) > overTime })
	maps.DeleteFunc(s.sure, func(state string, holder flawless.Claim) bool { return contested[state] != holder })
}
