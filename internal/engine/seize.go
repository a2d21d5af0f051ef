package engine

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/core"
	"github.com/flawless-engine/flawless/internal/live"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/upgrade"
)

// An upgrade replays runs on the server that it was asked for, whoever owns them: their logs are in the database. The owner
// only seizes a run for it, and writes that it has moved. If the server of the upgrade stops, the run is free again after
// holdTime.

const (
	holdTime = 20 * time.Second // how long a run stays seized for another server that does not ask again
	holdOn   = 5 * time.Second  // how often it asks
)

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

var (
	opSeize = peerOp[hold, holdState]{"seize run", func(e *Engine, ctx context.Context, h hold) (holdState, error) {
		s, err := e.seizeFor(ctx, h)
		if err != nil {
			return holdState{}, err
		}
		end, turns, digest := s.Now()
		return holdState{end, turns, digest}, nil
	}}
	// opHoldOn keeps a run seized for longer.
	opHoldOn = peerOp[hold, nothing]{"hold on to run", func(e *Engine, _ context.Context, h hold) (nothing, error) {
		_, err := e.heldFor(h)
		return nothing{}, err
	}}
	opMove = peerOp[holdMove, nothing]{"move run", func(e *Engine, ctx context.Context, m holdMove) (nothing, error) {
		r, err := e.Run(ctx, m.Run)
		if err != nil || r.Digest == m.To.Digest { // moved before; the answer was lost
			return nothing{}, err
		}
		s, err := e.heldFor(m.hold)
		if err != nil {
			return nothing{}, err
		}
		return nothing{}, s.Move(m.To)
	}}
	opRelease = peerOp[hold, nothing]{"release run", func(e *Engine, _ context.Context, h hold) (nothing, error) {
		if err := e.runs.Owns(h.Run); err != nil {
			return nothing{}, err
		}
		e.holds.end(h)
		return nothing{}, nil
	}}
	// opMend lets a run continue that was quarantined because its module could not be read.
	opMend = peerOp[string, nothing]{"mend run", func(e *Engine, ctx context.Context, run string) (nothing, error) {
		return nothing{}, e.mend(ctx, run)
	}}
)

// heldRuns are the runs that are seized for other servers.
type heldRuns struct {
	mu  sync.Mutex
	all map[hold]*held
}

type held struct {
	made chan struct{} // closed when the fields below are set
	run  seized
	err  error
	on   chan struct{} // a value keeps the run seized for longer
	done chan struct{} // closed to end it
}

// get returns an entry, and whether it is new, in which case the caller sets its fields.
func (hs *heldRuns) get(h hold, make func() *held) (one *held, isNew bool) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	if one = hs.all[h]; one != nil || make == nil {
		return one, false
	}
	if hs.all == nil {
		hs.all = map[hold]*held{}
	}
	one = make()
	hs.all[h] = one
	return one, true
}

func (hs *heldRuns) end(h hold) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	if one := hs.all[h]; one != nil {
		close(one.done)
		delete(hs.all, h)
	}
}

// seizeFor seizes a run for another server. Asked again, it returns the same.
func (e *Engine) seizeFor(ctx context.Context, h hold) (seized, error) {
	one, isNew := e.holds.get(h, func() *held {
		return &held{made: make(chan struct{}), on: make(chan struct{}, 1), done: make(chan struct{})}
	})
	if isNew {
		e.tasks.Go(func() { e.keepSeized(h, one) })
	}
	select {
	case <-one.made:
		return one.run, one.err
	case <-ctx.Done(): // it is asked again, and the turn that the run takes may have ended then
		return seized{}, ctx.Err()
	}
}

// keepSeized seizes a run, and releases it when the other server is done or has stopped.
func (e *Engine) keepSeized(h hold, one *held) {
	life, err := e.runs.Life(store.ShardOf(h.Run))
	if err == nil {
		within, cancel := context.WithTimeout(life.Calls, 2*holdTime)
		defer cancel()
		var s live.Seized
		s, err = e.runs.Seize(within, h.Run)
		one.run = seized{s}
	}
	one.err = err
	close(one.made)
	defer e.holds.end(h)
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
			e.log.Warn("a run is free again: the server that upgrades it does not ask for it any more", "run", h.Run)
			return
		case <-life.Turns.Done():
			return
		}
	}
}

// heldFor returns a run that is seized for another server, and keeps it seized for longer.
func (e *Engine) heldFor(h hold) (seized, error) {
	if err := e.runs.Owns(h.Run); err != nil {
		return seized{}, err
	}
	one, _ := e.holds.get(h, nil)
	if one == nil {
		return seized{}, fmt.Errorf("run %s is not held for the upgrade any more: another server owns it now, or the upgrade took too long; upgrade again: %w", h.Run, flawless.Conflict)
	}
	<-one.made
	select {
	case one.on <- struct{}{}:
	default:
	}
	return one.run, one.err
}

// mend lets a run take turns again, although there was a problem with it.
func (e *Engine) mend(ctx context.Context, run string) error {
	r, err := e.runs.Seize(ctx, run)
	if err != nil {
		return err
	}
	r.Mend()
	r.Release()
	return nil
}

// remoteRun is a run that its owner has seized for an upgrade of this engine.
type remoteRun struct {
	e     *Engine
	hold  hold
	state holdState
	end   func() // ends holding on
}

// seizeElsewhere seizes a run that another server owns.
func (e *Engine) seizeElsewhere(ctx context.Context, run string) (upgrade.Run, error) {
	r := &remoteRun{e: e, hold: hold{Run: run, By: rand.Text()}}
	var err error
	if r.state, err = askOn(ctx, e, opSeize, run, r.hold); err != nil {
		return nil, err
	}
	on, end := context.WithCancel(e.life.Calls)
	r.end = end
	e.tasks.Go(func() {
		t := time.NewTicker(holdOn)
		defer t.Stop()
		for {
			select {
			case <-on.Done():
				return
			case <-t.C:
				_, _ = opHoldOn.ask(on, e, store.ShardOf(run), r.hold) // if it fails, so does the move
			}
		}
	})
	return r, nil
}

// askOn asks the owner of a run until it answers. If this engine owns the run now, the upgrade has to be repeated.
func askOn[In, Out any](ctx context.Context, e *Engine, op peerOp[In, Out], run string, in In) (out Out, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*holdTime)
	defer cancel()
	for {
		if out, err = op.ask(ctx, e, store.ShardOf(run), in); !errors.Is(err, flawless.Elsewhere) {
			return out, err
		}
		if e.runs.Owns(run) == nil {
			return out, fmt.Errorf("run %s has come to this server in the meantime; upgrade again: %w", run, flawless.Conflict)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return out, err
		}
	}
}

// Now implements upgrade.Run.
func (r *remoteRun) Now() (end flawless.Status, turns int, digest string) {
	return r.state.End, r.state.Turns, r.state.Digest
}

// Move implements upgrade.Run.
func (r *remoteRun) Move(to flawless.Upgrade) error {
	_, err := askOn(r.e.life.Calls, r.e, opMove, r.hold.Run, holdMove{r.hold, to})
	return err
}

// Release implements upgrade.Run.
func (r *remoteRun) Release() {
	r.end()
	_, _ = opRelease.ask(r.e.life.Calls, r.e, store.ShardOf(r.hold.Run), r.hold) // else it is free after holdTime
}

// seized is a seized run as an upgrade sees it.
type seized struct{ live.Seized }

// Now implements upgrade.Run.
func (s seized) Now() (end flawless.Status, turns int, digest string) {
	s.View(func(s *core.State) { end, turns, digest = s.Outcome(), s.Turns(), s.Start().Digest })
	return end, turns, digest
}

// Move implements upgrade.Run.
func (s seized) Move(u flawless.Upgrade) error { return s.Upgrade(u) }
