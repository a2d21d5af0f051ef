package live

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"sync/atomic"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/lifecycle"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/task"
)

// part is a shard that the Registry owns. If the shard is lost and gained again, it is another part: a Run belongs to the
// part in which it was made, and does nothing after that has ended.
type part struct {
	shard  store.Shard
	unseen bool                 // an owner before was not seen to stop, see store.Lease.Unseen
	life   *lifecycle.Lifecycle // of the work on its runs
	tasks  task.Group           // goroutines of its runs
	cut    atomic.Bool          // calls in flight are cut off when the work ends
}

// Own makes the Registry accept the runs of shards that it does not own yet.
func (g *Registry) Own(shards ...store.Shard) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, sh := range shards {
		if g.parts[sh].Load() != nil {
			continue
		}
		g.parts[sh].Store(&part{shard: sh, unseen: g.o.Lease.Unseen(sh), life: g.o.Lifecycle.Part(elsewhere(sh)), tasks: task.Group{Tasks: g.o.Tasks}})
		g.owned.Add(1)
	}
}

func elsewhere(sh store.Shard) error { return &store.ElsewhereError{Shard: sh} }

// Life returns the lifecycle of the work on a shard, or flawless.Elsewhere if the Registry does not own it.
func (g *Registry) Life(sh store.Shard) (*lifecycle.Lifecycle, error) {
	if p := g.parts[sh].Load(); p != nil {
		return p.life, nil
	}
	if g.o.Lifecycle.Over() {
		return nil, g.o.Lifecycle.Err()
	}
	return nil, elsewhere(sh)
}

// Owns returns nil if the Registry owns the shard of a run and accepts work for it, else why not, which is
// flawless.Elsewhere if another server does.
func (g *Registry) Owns(id string) error {
	life, err := g.Life(store.ShardOf(id))
	if err == nil && (life.Over() || life.Stopping()) {
		err = life.Err()
	}
	if err != nil {
		return fmt.Errorf("run %s: %w", id, err)
	}
	return nil
}

// OwnsAll reports whether the Registry owns all shards.
func (g *Registry) OwnsAll() bool { return g.owned.Load() == store.Shards }

// Lose ends all work on a shard at once: no run of it takes another turn, calls in flight are cancelled, and nothing is
// written or answered. It takes no lock and does not wait. The runs leave memory with Abandon.
func (g *Registry) Lose(sh store.Shard) {
	if p := g.parts[sh].Load(); p != nil {
		p.life.Kill()
	}
}

// cutOffTime is how long Retire waits until calls have ended that it has cut off.
const cutOffTime = time.Second

// Retire ends the work on shards in order: their runs take no more turns and begin nothing that is not under way, calls in
// flight are waited for, and their outcomes are written. It calls quiet with shards in which nothing is in progress any
// more, never twice at once, and returns when that was called for all. When ctx ends, it ends what is left, as Lose does, cuts
// off all calls, so that the next owner knows that nothing is being sent any more, and returns the error of ctx.
func (g *Registry) Retire(ctx context.Context, shards []store.Shard, quiet func([]store.Shard)) error {
	type end struct {
		shard store.Shard
		err   error
	}
	ends := make(chan end, len(shards))
	for _, sh := range shards {
		p := g.parts[sh].Load()
		if p == nil {
			ends <- end{shard: sh}
			continue
		}
		p.life.Stop()
		go func() { // it is waited for below
			err := p.tasks.WhenNone(ctx, p.life.Kill)
			if err != nil {
				p.cut.Store(true)
				p.life.Kill()
				brief, cancel := context.WithTimeout(context.WithoutCancel(ctx), cutOffTime)
				if p.tasks.WhenNone(brief, func() {}) != nil {
					g.o.Lease.Lingers(sh)
				}
				cancel()
			}
			ends <- end{sh, err}
		}()
	}
	var failed error
	for left := len(shards); left > 0; {
		var now []store.Shard
		for e := range take(ends) {
			now = append(now, e.shard)
			failed = cmp.Or(failed, e.err)
		}
		left -= len(now)
		quiet(now)
	}
	return failed
}

// take waits for an item of a channel, and yields it and all others that are there.
func take[T any](c <-chan T) iter.Seq[T] {
	return func(yield func(T) bool) {
		for more := yield(<-c); more; {
			select {
			case v := <-c:
				more = yield(v)
			default:
				return
			}
		}
	}
}

// Abandon takes all runs of shards out of memory, and forgets the shards. It returns when no run of them can write any more.
func (g *Registry) Abandon(shards ...store.Shard) {
	gone := map[*part]bool{}
	of := map[store.Shard]bool{}
	var runs []*Run
	g.mu.Lock()
	for _, sh := range shards {
		if p := g.parts[sh].Swap(nil); p != nil {
			p.life.Kill()
			gone[p], of[sh] = true, true
			g.owned.Add(-1)
		}
	}
	for _, r := range g.runs {
		if gone[r.part] {
			runs = append(runs, r)
		}
	}
	for id := range g.quarantined {
		if of[store.ShardOf(id)] {
			delete(g.quarantined, id)
		}
	}
	g.mu.Unlock()
	for _, r := range runs {
		<-r.loaded
		r.mu.Lock()
		r.idle.Broadcast() // those who wait until something is durable
		r.mu.Unlock()
		g.evict(r)
		for _, k := range g.o.Kinds {
			if k.Ended != nil { // what they keep for the run belongs to its connections
				k.Ended(r.id)
			}
		}
	}
	g.retrying.abandon(func(id string) bool { return of[store.ShardOf(id)] })
}

// isElsewhere reports whether an error says that another server owns something.
func isElsewhere(err error) bool { return errors.Is(err, flawless.Elsewhere) }
