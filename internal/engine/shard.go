package engine

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
)

// moves serialises the changes of which shards the engine owns.
//
// Each part of the engine forgets what belongs to a shard in a method Abandon, which returns when nothing is written for it
// any more. So a shard that is gained again is read as the store has it, and nothing from before is left that could write.
type moves struct {
	sync.Mutex                      // held while shards are gained, freed or abandoned
	leaving    map[store.Shard]bool // those that Release waits for; guarded by the lock

	noting sync.Mutex // guards lost
	lost   []store.Shard
}

// Shards returns the shards that the engine owns, in order, also while it may not act.
func (e *Engine) Shards() []store.Shard { return e.lease.Owned() }

// Gain claims shards, and continues the runs, schedules and limits in them. It returns when they are accepted; active
// runs are read afterwards. Shards that the engine owns do not change. After an error the engine has none of the others.
func (e *Engine) Gain(ctx context.Context, claim store.Claims) error {
	e.moves.Lock()
	defer e.moves.Unlock()
	if err := e.store.Confirm(ctx, e.lease); err != nil { // it may have lost some of them without having noticed
		return err
	}
	e.abandonLost()
	if err := e.life.Accept(); err != nil {
		return err
	}
	shards, err := claim(ctx, e.store, e.lease)
	if err != nil || len(shards) == 0 {
		return err
	}
	err = e.history.Await(ctx, shards)
	if err == nil {
		err = e.load(ctx, shards)
	}
	if err == nil {
		err = e.history.Settle(ctx, ofRuns(shards))
	}
	e.history.Settled()
	if err != nil {
		e.abandon(shards)
		e.lease.Drop(shards...)
		return err
	}
	e.tasks.Go(func() { e.recover(shards) })
	e.tasks.Go(func() { e.sweeper.Finish(shards) })
	return nil
}

// load reads what belongs to shards that were claimed, and accepts their runs.
func (e *Engine) load(ctx context.Context, shards []store.Shard) error {
	if err := e.caps.Load(ctx, shards); err != nil {
		return fmt.Errorf("reading queued runs: %w", err)
	}
	schedules, err := e.store.Schedules(ctx, shards)
	if err != nil {
		return fmt.Errorf("reading the schedules: %w", err)
	}
	e.runs.Own(ofRuns(shards)...)
	for _, sh := range shards { // those that were lost before there was somebody to tell
		if !e.lease.Has(sh) {
			e.shardLost(sh)
		}
	}
	e.errands.Moved()
	if err := e.caps.Start(ctx, shards); err != nil {
		return fmt.Errorf("reading queued runs: %w", err)
	}
	e.schedules.Load(schedules)
	err = e.clock.Load(func(from, until int64) iter.Seq2[store.Timer, error] { return e.store.Timers(ctx, from, until, shards) })
	if err != nil {
		return fmt.Errorf("reading the timers: %w", err)
	}
	return nil
}

// ofRuns returns the shards that can have runs.
func ofRuns(shards []store.Shard) []store.Shard {
	return slices.DeleteFunc(slices.Clone(shards), func(sh store.Shard) bool { return sh == store.ShardOfCaps })
}

// Release gives shards up in order, so that another server can claim them: it begins nothing new in them, writes what is
// being written, and waits until their calls in flight have ended. Each shard is free as soon as it has none. If ctx ends
// before that, Release returns its error; the outcomes of the calls are unknown then, and the next owner finds that out. The
// shards are given up in any case; if that cannot be written, the store still names this engine as their owner. Shards that
// another Release gives up are left to it.
func (e *Engine) Release(ctx context.Context, shards ...store.Shard) error {
	shards = e.departing(shards)
	if len(shards) == 0 {
		return nil
	}
	e.schedules.Abandon(setOf(shards).schedule)
	var free error
	err := e.runs.Retire(ctx, ofRuns(shards), func(quiet []store.Shard) {
		free = errors.Join(free, e.free(context.WithoutCancel(ctx), quiet))
	})
	if slices.Contains(shards, store.ShardOfCaps) {
		free = errors.Join(free, e.free(context.WithoutCancel(ctx), []store.Shard{store.ShardOfCaps}))
	}
	if free == nil && err != nil {
		return fmt.Errorf("giving up shards: calls were still in flight: %w", err)
	}
	return free
}

// departing returns those of some shards that the engine has and does not give up yet, and notes that it does.
func (e *Engine) departing(shards []store.Shard) (leaving []store.Shard) {
	e.moves.Lock()
	defer e.moves.Unlock()
	e.abandonLost()
	for _, sh := range shards {
		if e.lease.Has(sh) && !e.moves.leaving[sh] {
			e.moves.leaving[sh] = true
			leaving = append(leaving, sh)
		}
	}
	return leaving
}

// free gives up shards in which nothing is under way.
func (e *Engine) free(ctx context.Context, shards []store.Shard) error {
	e.moves.Lock()
	defer e.moves.Unlock()
	e.abandonLost()
	e.abandon(shards)
	for _, sh := range shards {
		delete(e.moves.leaving, sh)
	}
	shards = slices.DeleteFunc(shards, func(sh store.Shard) bool { return !e.lease.Has(sh) })
	if len(shards) == 0 {
		return nil
	}
	if err := e.store.Free(ctx, e.lease, shards...); err != nil {
		e.lease.Drop(shards...)
		if !errors.Is(err, flawless.Fenced) { // else another server has them
			return err
		}
	}
	return nil
}

// shardLost is called when a write has found that another server has claimed a shard. The caller may hold any lock.
func (e *Engine) shardLost(sh store.Shard) {
	if sh != store.ShardOfCaps {
		e.runs.Lose(sh)
	}
	m := &e.moves
	m.noting.Lock()
	defer m.noting.Unlock()
	m.lost = append(m.lost, sh)
	if len(m.lost) == 1 {
		e.tasks.Go(func() {
			m.Lock()
			defer m.Unlock()
			e.abandonLost()
		})
	}
}

// abandonLost abandons the shards that were lost. If none is left, the engine gives up the store. The caller holds moves.
func (e *Engine) abandonLost() {
	m := &e.moves
	m.noting.Lock()
	lost := m.lost
	m.lost = nil
	m.noting.Unlock()
	if len(lost) == 0 || e.life.Over() {
		return
	}
	if len(e.lease.Owned()) == 0 && !e.oneOfMany {
		e.life.Break(fmt.Errorf("another server has claimed all shards of %s: %w", e.lease.Owner(), flawless.Fenced))
		return
	}
	e.log.Warn("another server has claimed shards, their work stops here", "shards", len(lost))
	e.abandon(lost)
}

// abandon forgets what belongs to shards. No work on them may begin any more. The caller holds moves.
func (e *Engine) abandon(shards []store.Shard) {
	of := setOf(shards)
	e.runs.Abandon(ofRuns(shards)...)
	e.schedules.Abandon(of.schedule)
	e.errands.Abandon(of.run)
	e.ends.Abandon(of.run)
	e.locks.Abandon(of.run, of.state)
	e.limits.Abandon(of.run)
	e.caps.Abandon(of.run, of[store.ShardOfCaps])
	e.clock.Abandon(of.run)
	e.hub.Abandon(of.run)
}

// shardSet is a set of shards.
type shardSet map[store.Shard]bool

func setOf(shards []store.Shard) shardSet {
	s := shardSet{}
	for _, sh := range shards {
		s[sh] = true
	}
	return s
}

func (s shardSet) run(id string) bool        { return s[store.ShardOf(id)] }
func (s shardSet) state(name string) bool    { return s[store.ShardOfName(store.KindState, name)] }
func (s shardSet) schedule(name string) bool { return s[store.ShardOfName(store.KindSchedule, name)] }

// ownsName returns nil if the engine owns what has a name, else flawless.Elsewhere.
func (e *Engine) ownsName(k store.Kind, name string) error {
	life, err := e.runs.Life(store.ShardOfName(k, name))
	if err == nil && (life.Over() || life.Stopping()) {
		err = life.Err()
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", k, name, err)
	}
	return nil
}

// NewID returns an id for a new run: in a shard of the engine, so that the run can start here, unless it has none or very
// few.
func (e *Engine) NewID() string {
	id := flawless.NewRunID(e.clockNow())
	if len(e.lease.Owned()) == 0 {
		return id
	}
	for range 2 * store.Shards {
		if life, err := e.runs.Life(store.ShardOf(id)); err == nil && !life.Over() && !life.Stopping() {
			break
		}
		id = flawless.NewRunID(e.clockNow())
	}
	return id
}

// Owns returns nil if the engine owns the shard of a run and accepts work for it, else why not: flawless.Elsewhere if another
// server owns it.
func (e *Engine) Owns(run string) error { return e.runs.Owns(run) }

// elsewhere turns the error of a write to a shard that was lost into flawless.Elsewhere.
func elsewhere(err error) error {
	if errors.Is(err, flawless.Fenced) {
		return fmt.Errorf("another server has taken over; send the request again, or to that server: %w: %w", flawless.Elsewhere, err)
	}
	return err
}
