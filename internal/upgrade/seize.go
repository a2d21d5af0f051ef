package upgrade

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/lifecycle"
	"github.com/flawless-engine/flawless/internal/rpc"
	"github.com/flawless-engine/flawless/internal/store"
)

// An upgrade replays runs on the server that it was asked for, whoever owns them: their logs are in the database. The owner
// only seizes a run for it, and writes that it has moved. If the server of the upgrade stops, the run is free again after
// holdTime.

const (
	holdTime = 20 * time.Second // how long a run stays seized for another server that does not ask again
	holdOn   = 5 * time.Second  // how often it asks
)

// SeizerOptions configures a Seizer. Everything is required.
type SeizerOptions struct {
	// Seize keeps a run of this server from taking turns until Release.
	Seize func(ctx context.Context, run string) (Run, error)
	// Run returns the durable state of a run.
	Run func(ctx context.Context, run string) (flawless.Run, error)
	// Owns returns nil if this server owns a run, else flawless.Elsewhere; Part returns the lifecycle of the shard then.
	Owns  func(run string) error
	Part  func(sh store.Shard) (*lifecycle.Lifecycle, error)
	Calls context.Context // ends when the server writes nothing any more
	Go    func(f func())
	Peers *rpc.Endpoint // the other servers
	Log   *slog.Logger
}

// Seizer seizes runs of all servers for upgrades. All methods may be called concurrently.
type Seizer struct {
	o SeizerOptions

	mu  sync.Mutex
	all map[hold]*held // runs of this server that are seized for others
}

// NewSeizer returns a Seizer, and seizes runs for other servers.
func NewSeizer(o SeizerOptions) *Seizer {
	s := &Seizer{o: o, all: map[hold]*held{}}
	opSeize.Handle(o.Peers, s.serveSeize)
	opHoldOn.Handle(o.Peers, s.serveHoldOn)
	opMove.Handle(o.Peers, s.serveMove)
	opRelease.Handle(o.Peers, s.serveRelease)
	return s
}

// Seize keeps a run of any server from taking turns until Release. If this server stops, or cannot reach the owner of the run
// for a while, the run is free again, and Move returns flawless.Conflict.
func (s *Seizer) Seize(ctx context.Context, run string) (Run, error) {
	r, err := s.o.Seize(ctx, run)
	if errors.Is(err, flawless.Elsewhere) && !s.o.Peers.Alone() {
		return s.seizeElsewhere(ctx, run)
	}
	return r, err
}

// Count returns how many runs are seized for other servers.
func (s *Seizer) Count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.all)
}

// hold names a run that is seized for another server.
type hold struct {
	Run string `cbor:"1,keyasint"`
	By  string `cbor:"2,keyasint"` // random, another one for each seizure
}

// holdState is a seized run as upgrade.Run has it.
type holdState struct {
	End    flawless.Status `cbor:"1,keyasint"`
	Turns  int             `cbor:"2,keyasint"`
	Digest string          `cbor:"3,keyasint"`
}

// holdMove moves a seized run.
type holdMove struct {
	hold
	To flawless.Upgrade `cbor:"3,keyasint"`
}

const (
	opSeize   rpc.Op[hold, holdState]       = "seize run"
	opHoldOn  rpc.Op[hold, rpc.Nothing]     = "hold on to run" // keeps it seized for longer
	opMove    rpc.Op[holdMove, rpc.Nothing] = "move run"
	opRelease rpc.Op[hold, rpc.Nothing]     = "release run"
)

func (s *Seizer) serveSeize(ctx context.Context, h hold) (holdState, error) {
	r, err := s.seizeFor(ctx, h)
	if err != nil {
		return holdState{}, err
	}
	end, turns, digest := r.Now()
	return holdState{end, turns, digest}, nil
}

func (s *Seizer) serveHoldOn(_ context.Context, h hold) (none rpc.Nothing, err error) {
	_, err = s.heldFor(h)
	return none, err
}

func (s *Seizer) serveMove(ctx context.Context, m holdMove) (none rpc.Nothing, err error) {
	run, err := s.o.Run(ctx, m.Run)
	if err != nil || run.Digest == m.To.Digest { // moved before; the answer was lost
		return none, err
	}
	r, err := s.heldFor(m.hold)
	if err != nil {
		return none, err
	}
	return none, r.Move(m.To)
}

func (s *Seizer) serveRelease(_ context.Context, h hold) (none rpc.Nothing, err error) {
	if err := s.o.Owns(h.Run); err != nil {
		return none, err
	}
	s.end(h)
	return none, nil
}

type held struct {
	made chan struct{} // closed when the fields below are set
	run  Run
	err  error
	on   chan struct{} // a value keeps the run seized for longer
	done chan struct{} // closed to end it
}

// get returns an entry, and whether it is new, in which case the caller sets its fields.
func (s *Seizer) get(h hold, make func() *held) (one *held, isNew bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if one = s.all[h]; one != nil || make == nil {
		return one, false
	}
	one = make()
	s.all[h] = one
	return one, true
}

func (s *Seizer) end(h hold) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if one := s.all[h]; one != nil {
		close(one.done)
		delete(s.all, h)
	}
}

// seizeFor seizes a run for another server. Asked again, it returns the same.
func (s *Seizer) seizeFor(ctx context.Context, h hold) (Run, error) {
	one, isNew := s.get(h, func() *held {
		return &held{made: make(chan struct{}), on: make(chan struct{}, 1), done: make(chan struct{})}
	})
	if isNew {
		s.o.Go(func() { s.keepSeized(h, one) })
	}
	select {
	case <-one.made:
		return one.run, one.err
	case <-ctx.Done(): // it is asked again, and the turn that the run takes may have ended then
		return nil, ctx.Err()
	}
}

// keepSeized seizes a run, and releases it when the other server is done or has stopped.
func (s *Seizer) keepSeized(h hold, one *held) {
	life, err := s.o.Part(store.ShardOf(h.Run))
	if err == nil {
		within, cancel := context.WithTimeout(life.Calls, 2*holdTime)
		defer cancel()
		one.run, err = s.o.Seize(within, h.Run)
	}
	one.err = err
	close(one.made)
	defer s.end(h)
	if err != nil {
		return
	}
	defer one.run.Release()
	t := time.NewTimer(holdTime)
	defer t.Stop()
	for {
		select {
		case <-one.on:
			t.Reset(holdTime)
		case <-one.done:
			return
		case <-t.C:
			s.o.Log.Warn("a run is free again: the server that upgrades it does not ask for it any more", "run", h.Run)
			return
		case <-life.Turns.Done():
			return
		}
	}
}

// heldFor returns a run that is seized for another server, and keeps it seized for longer.
func (s *Seizer) heldFor(h hold) (Run, error) {
	if err := s.o.Owns(h.Run); err != nil {
		return nil, err
	}
	one, _ := s.get(h, nil)
	if one == nil {
		return nil, fmt.Errorf("run %s is not held for the upgrade any more: another server owns it now, or the upgrade took too long; upgrade again: %w", h.Run, flawless.Conflict)
	}
	<-one.made
	select {
	case one.on <- struct{}{}:
	default:
	}
	return one.run, one.err
}

// remoteRun is a run that its owner has seized for an upgrade of this server.
type remoteRun struct {
	s     *Seizer
	hold  hold
	state holdState
	end   func() // ends holding on
}

// seizeElsewhere seizes a run that another server owns.
func (s *Seizer) seizeElsewhere(ctx context.Context, run string) (Run, error) {
	r := &remoteRun{s: s, hold: hold{Run: run, By: rand.Text()}}
	var err error
	if r.state, err = askOn(ctx, s, opSeize, run, r.hold); err != nil {
		return nil, err
	}
	on, end := context.WithCancel(s.o.Calls)
	r.end = end
	s.o.Go(func() {
		t := time.NewTicker(holdOn)
		defer t.Stop()
		for {
			select {
			case <-on.Done():
				return
			case <-t.C:
				_, _ = opHoldOn.Ask(on, s.o.Peers, store.ShardOf(run), r.hold) // if it fails, so does the move
			}
		}
	})
	return r, nil
}

// askOn asks the owner of a run until it answers. If this server owns the run now, the upgrade has to be repeated.
func askOn[In, Out any](ctx context.Context, s *Seizer, op rpc.Op[In, Out], run string, in In) (out Out, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*holdTime)
	defer cancel()
	for {
		if out, err = op.Ask(ctx, s.o.Peers, store.ShardOf(run), in); !errors.Is(err, flawless.Elsewhere) {
			return out, err
		}
		if s.o.Owns(run) == nil {
			return out, fmt.Errorf("run %s has come to this server in the meantime; upgrade again: %w", run, flawless.Conflict)
		}
		select {
		case <-time.After(rpc.Pause):
		case <-ctx.Done():
			return out, err
		}
	}
}

// Now implements Run.
func (r *remoteRun) Now() (end flawless.Status, turns int, digest string) {
	return r.state.End, r.state.Turns, r.state.Digest
}

// Move implements Run.
func (r *remoteRun) Move(to flawless.Upgrade) error {
	_, err := askOn(r.s.o.Calls, r.s, opMove, r.hold.Run, holdMove{r.hold, to})
	return err
}

// Release implements Run.
func (r *remoteRun) Release() {
	r.end()
	_, _ = opRelease.Ask(r.s.o.Calls, r.s.o.Peers, store.ShardOf(r.hold.Run), r.hold) // else it is free after holdTime
}
