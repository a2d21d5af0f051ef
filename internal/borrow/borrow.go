// Package borrow lets runs use shared states that other servers own.
//
// The server of a run asks the owner of the state, until that has given its word; see package errand. The owner sees such a run
// as a visitor: it stands in the queue of the state like the runs of the owner, as long as somebody asks for it. What a visitor
// is granted is in the store before it is told, so an answer that is lost is found by the next question.
//
// A hold never ends because of time, or because a server is away: only when the run ends it, or when its log says that the run
// does not need it.
package borrow

import (
	"context"
	"errors"
	"iter"
	"math"
	"sync"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/core"
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/errand"
	"github.com/flawless-engine/flawless/internal/rpc"
	"github.com/flawless-engine/flawless/internal/statelock"
	"github.com/flawless-engine/flawless/internal/store"
)

// Run is a run of this server.
type Run interface {
	statelock.Run
	errand.Run
	// Errand returns an open call, or false if it has an answer.
	Errand(call int) (core.OpenCall, bool)
}

// What the owners of states and runs do for other servers.
const (
	opVisit  rpc.Op[Visit, Reply]                 = "state"  // of the owner of a state: [States.Visit]
	opLeave  rpc.Op[Leaving, rpc.Nothing]         = "leave"  // of the owner of a state: [States.Leave]
	opHolds  rpc.Op[Hold, bool]                   = "holds"  // of the owner of a run: [States.Holds]
	opQueues rpc.Op[[]string, [][]flawless.Claim] = "queues" // of the owner of a shard: [States.Queues]
)

// Options configures States. Everything is required.
type Options struct {
	Locks   *statelock.Locks // states of this server
	Graph   *statelock.Graph
	Errands *errand.Errands
	Peers   *rpc.Endpoint // the other servers
	// State and Log read the store.
	State func(ctx context.Context, name string) (store.State, error)
	Log   func(ctx context.Context, run string, from uint64) iter.Seq2[flawless.Record, error]
	// Owns returns nil if this server owns a state, and OwnsRun if it owns a run; else flawless.Elsewhere.
	Owns, OwnsRun func(name string) error
	// View shows the state of a run of this server.
	View func(ctx context.Context, run string, f func(s *core.State)) error
	// Gone reports whether the store says that a holder's run has ended, and with it the hold.
	Gone func(holder flawless.Claim) bool
	// Refused tells the code of a run why its call is refused. It returns errors that are not the word of an owner.
	Refused func(ctx context.Context, r Run, c core.OpenCall, err error) error
	// Turns ends when the server stops, and Err says why; Calls ends when it writes nothing any more.
	Turns, Calls context.Context
	Err          func() error
	// Report is told of a hold that was ended because its run does not need it, and whether that has failed.
	Report func(h Hold, err error)
}

// States are the shared states as the runs of this server use them. All methods may be called concurrently.
type States struct {
	o Options

	mu   sync.Mutex
	over map[Hold]time.Time        // locks of visitors that are over, and since when
	sure map[string]flawless.Claim // holders of states that were found to need them, and whose runs are here
}

// New returns States, and serves the runs of other servers.
func New(o Options) *States {
	s := &States{o: o, over: map[Hold]time.Time{}, sure: map[string]flawless.Claim{}}
	opVisit.Handle(o.Peers, s.Visit)
	opLeave.Handle(o.Peers, func(_ context.Context, l Leaving) (rpc.Nothing, error) { return rpc.Nothing{}, s.Leave(l) })
	opHolds.Handle(o.Peers, s.Holds)
	opQueues.Handle(o.Peers, func(_ context.Context, names []string) ([][]flawless.Claim, error) { return s.Queues(names) })
	return s
}

// Perform begins to carry out a call on a shared state. While this server owns the state, it is carried out at once.
func (s *States) Perform(r Run, c *core.OpenCall) error {
	if s.o.Errands.None() && !s.o.Graph.AnyAway() {
		if err := s.o.Locks.Perform(r, c.Call, c.MadeAt()); !errors.Is(err, flawless.Elsewhere) {
			return err
		}
	}
	h, err := effect.ParseState(c.Call)
	if err != nil {
		return err
	}
	if h.Op == effect.StateLock {
		return s.lock(r, c, h.Name)
	}
	to := statelock.Target{State: h.Name}
	if s.o.Errands.Join(r.ID(), to, c.N) {
		return nil
	}
	err = s.perform(s.o.Calls, r, *c, h)
	if errors.Is(err, flawless.Elsewhere) {
		s.o.Errands.Queue(r, to, c.N, s.deliver(r, h.Name))
		return nil
	}
	return err
}

// lock begins to lock a state, or asks its owner for it.
func (s *States) lock(r Run, c *core.OpenCall, name string) error {
	err := s.o.Locks.Perform(r, c.Call, c.MadeAt())
	switch {
	case !errors.Is(err, flawless.Elsewhere):
		return err
	case r.Ended():
		r.Answer(c.N, effect.ErrorAnswer(c.N, "ended", "the run that waited has ended"))
		return nil
	}
	s.o.Graph.LockAway(r.ID(), name, c.N)
	s.o.Errands.Ask(r, c.N, statelock.Target{State: name}, func(ctx context.Context) error {
		c, open := r.Errand(c.N)
		switch {
		case !open || r.Ended():
			return nil
		case s.o.Owns(name) == nil:
			return errand.ErrHere
		}
		reply, err := opVisit.Ask(ctx, s.o.Peers, shardOf(name), Visit{State: name, Run: r.ID(), Call: c.Call, At: c.MadeAt()})
		if err == nil && reply.Answer == nil {
			return errand.ErrWaits
		}
		if err == nil {
			r.Answer(c.N, *reply.Answer)
			return nil
		}
		return s.o.Refused(ctx, r, c, err)
	})
	return nil
}

// perform carries out a call that does not lock, if this server can.
func (s *States) perform(ctx context.Context, r Run, c core.OpenCall, h effect.StateHead) error {
	if h.Op == effect.StateUnlock && s.o.Errands.Stop(r.ID(), h.Lock) {
		// The answer comes first: what the owner may have granted in the meantime is unlocked behind it.
		r.Answer(h.Lock, effect.ErrorAnswer(h.Lock, "withdrawn", "the run has stopped waiting for the state"))
	}
	err := s.o.Locks.Perform(r, c.Call, c.MadeAt())
	switch {
	case err == nil && h.Lock != 0:
		s.o.Graph.UnlockAway(r.ID(), h.Name, h.Lock)
	case errors.Is(err, flawless.Elsewhere) && h.Op == effect.StateGet: // whatever is told was durable before
		st, err := s.o.State(ctx, h.Name)
		if err != nil {
			return err
		}
		r.Answer(c.N, effect.ValueAnswer(st.Value))
		return nil
	}
	return err
}

// Beside the numbers of calls, these stand in the line to a state: a lock that is not wanted any more, as the negative
// number of its call, and behind all others that the run has ended.
const runEnded = math.MaxInt

// deliver returns a function that carries out a call on a state, which may be anywhere.
func (s *States) deliver(r Run, name string) errand.Deliver {
	return func(ctx context.Context, call int) error {
		if call == runEnded || call < 0 {
			return s.leave(ctx, Leaving{State: name, Run: r.ID(), Lock: max(-call, 0)})
		}
		c, open := r.Errand(call)
		if !open {
			return nil
		}
		h, err := effect.ParseState(c.Call)
		if err == nil {
			err = s.perform(ctx, r, c, h)
		}
		if err == nil {
			return nil
		}
		var reply Reply
		if errors.Is(err, flawless.Elsewhere) {
			in := Visit{State: name, Run: r.ID(), Call: c.Call, At: c.MadeAt(), Lock: h.Lock}
			if in.Told, in.Inherited, err = r.Inherited(h.Lock); err == nil {
				reply, err = opVisit.Ask(ctx, s.o.Peers, shardOf(name), in)
			}
			if err == nil && reply.Answer == nil {
				return errand.ErrWaits
			}
		}
		if err != nil {
			return s.o.Refused(ctx, r, c, err)
		}
		s.o.Graph.UnlockAway(r.ID(), name, h.Lock)
		r.Answer(c.N, *reply.Answer)
		return nil
	}
}

// leave ends a hold or a wish of a run, or all that it has of the state.
func (s *States) leave(ctx context.Context, l Leaving) error {
	err := s.Leave(l)
	if errors.Is(err, flawless.Elsewhere) {
		_, err = opLeave.Ask(ctx, s.o.Peers, shardOf(l.State), l)
	}
	if err == nil && l.Lock != 0 {
		s.o.Graph.UnlockAway(l.Run, l.State, l.Lock)
	}
	return err
}

// Left tells the owner of a state that a run has ended which may hold it, or wait for it, behind all that the run has sent
// there.
func (s *States) Left(r Run, state string) {
	s.o.Errands.Queue(r, statelock.Target{State: state}, runEnded, s.deliver(r, state))
}

// Withdraw tells the owner of a state that a call of a run does not want it any more. The call has its answer.
func (s *States) Withdraw(r Run, state string, call int) {
	s.o.Errands.Stop(r.ID(), call)
	s.o.Errands.Queue(r, statelock.Target{State: state}, -call, s.deliver(r, state))
}

func shardOf(state string) store.Shard { return store.ShardOfName(store.KindState, state) }
