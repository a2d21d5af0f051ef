package engine

import (
	"context"
	"slices"
	"sync/atomic"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/admit"
	"github.com/flawless-engine/flawless/internal/live"
	"github.com/flawless-engine/flawless/internal/store"
)

// caps decide which runs may begin. A server that has its store for itself has a Control. Several servers ask the one that
// owns store.ShardOfCaps.
type caps struct {
	alone *admit.Control
	asker *admit.Asker
	owner atomic.Pointer[capsOwner] // nil while another server owns the shard
}

// capsOwner is the Owner of the caps until stop is called.
type capsOwner struct {
	*admit.Owner
	stop context.CancelFunc
}

// capsOp asks the owner of the caps which runs may begin, and tells it which have ended.
var capsOp = peerOp[admit.Request, admit.Answer]{"caps", func(e *Engine, ctx context.Context, in admit.Request) (admit.Answer, error) {
	owner := e.caps.owner.Load()
	if owner == nil {
		return admit.Answer{}, &store.ElsewhereError{Shard: store.ShardOfCaps}
	}
	return owner.Serve(ctx, in)
}}

// newAdmission connects admission with the engine.
func (e *Engine) newAdmission() live.Admission {
	wake := func(run string) { e.tasks.Go(func() { e.runs.Wake(run) }) }
	if !e.shared {
		o := e.capOptions()
		o.Wake, o.Owns = wake, func(run string) bool { return e.runs.Owns(run) == nil }
		e.caps.alone = admit.New(o)
		return e.caps.alone
	}
	e.caps.asker = admit.NewAsker(admit.AskerOptions{Self: e.lease.Owner(), Cap: e.capOf, Wake: wake, Parked: e.parked,
		Context: e.life.Turns, Go: e.tasks.Go, Ask: func(ctx context.Context, in admit.Request) (admit.Answer, error) {
			if e.caps.owner.Load() != nil {
				return capsOp.serve(e, ctx, in)
			}
			return capsOp.ask(ctx, e, store.ShardOfCaps, in)
		}})
	return e.caps.asker
}

func (e *Engine) capOf(module string) int { return e.policy.Module(module).Concurrency }

// capOptions returns the options that both kinds of admission share.
func (e *Engine) capOptions() admit.Options {
	return admit.Options{Store: e.store, Modules: e.policy.Capped, Cap: e.capOf, Parked: e.parked}
}

// loadCaps reads which runs of shards have begun or wait to begin, or those of all shards if the caps are among them.
func (e *Engine) loadCaps(ctx context.Context, shards []store.Shard) error {
	if !e.shared {
		return e.caps.alone.Load(ctx, shards)
	}
	defer e.caps.asker.Renew()
	if !slices.Contains(shards, store.ShardOfCaps) {
		return nil
	}
	while, stop := context.WithCancel(e.life.Turns)
	o := admit.OwnerOptions{Control: e.capOptions(), Term: e.lease.Epoch(store.ShardOfCaps), Grants: e.store.Grants, Context: while, Go: e.tasks.Go, Log: e.log,
		Put:  func(ctx context.Context, runs ...string) error { return e.store.PutGrants(ctx, e.lease, runs...) },
		Drop: func(ctx context.Context, runs ...string) error { return e.store.DropGrants(ctx, e.lease, runs...) }}
	o.Control.Parked = func(string) {} // the run's own server asks
	owner, err := admit.NewOwner(ctx, o, store.AllShards())
	if err != nil {
		stop()
		return err
	}
	e.caps.owner.Store(&capsOwner{owner, stop})
	e.tasks.Go(owner.Watch)
	return nil
}

// startCaps admits runs of shards that wait, now that the engine accepts their work.
func (e *Engine) startCaps(ctx context.Context, shards []store.Shard) error {
	e.shiftCaps()
	if !e.shared {
		return nil
	}
	return e.caps.asker.Load(ctx, e.store, e.policy.Capped(), shards)
}

// ended tells that a run has ended.
func (c *caps) ended(r flawless.Run) {
	if c.alone != nil {
		c.alone.Leave(admit.RunOf(r))
	} else {
		c.asker.Leave(admit.RunOf(r))
	}
}

// abandonCaps forgets what belongs to shards.
func (e *Engine) abandonCaps(of shardSet) {
	if !e.shared {
		e.caps.alone.Abandon(of.run)
		return
	}
	e.caps.asker.Abandon(of.run)
	if of[store.ShardOfCaps] {
		if owner := e.caps.owner.Swap(nil); owner != nil {
			owner.stop()
		}
		e.caps.asker.Renew()
	}
}

// trackCap counts the open runs of a module that has just received a cap.
func (e *Engine) trackCap(ctx context.Context, module string) error {
	if !e.shared {
		return e.caps.alone.Track(ctx, module)
	}
	if owner := e.caps.owner.Load(); owner != nil {
		return owner.Track(ctx, module)
	}
	return nil
}

// shiftCaps admits all runs that the caps allow.
func (e *Engine) shiftCaps() {
	if !e.shared {
		e.caps.alone.Shift()
	} else if owner := e.caps.owner.Load(); owner != nil {
		owner.Shift()
	}
}

// noneQueued reports whether nothing is left of any run in admission. Tests use it to find leaks.
func (c *caps) noneQueued() bool {
	if c.alone != nil {
		return c.alone.Empty()
	}
	owner := c.owner.Load()
	return c.asker.Empty() && (owner == nil || owner.Empty())
}
