package cluster

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
)

// Owner does the work of the shards of this node.
type Owner interface {
	// Shards returns those that it has, in order, without [store.ShardOfCaps].
	Shards() []store.Shard
	// Gain claims shards and begins their work.
	Gain(ctx context.Context, claim store.Claims) error
	// Release ends the work of shards in order, and frees them. If ctx ends before calls in flight have, it frees them too.
	Release(ctx context.Context, shards ...store.Shard) error
}

// Keeper gives a node the shards that it should have: those of nodes that have stopped, and its share of all. Its exported
// fields do not change. It is called by the [Member] of the node, and [Keeper.Wait] before its Owner is closed.
type Keeper struct {
	Store *store.Store
	Owner Owner
	Self  string // id of the node
	Log   *slog.Logger
	// EndSessions ends the connections of a node that has stopped to the database: a transaction that hangs there would hold
	// up the takeover. It is called before each attempt to take over; nil does nothing.
	EndSessions func(ctx context.Context, n flawless.Node)

	giving atomic.Bool    // shards are being given up
	tasks  sync.WaitGroup // which does that
}

// Wait waits until no shards are being given up.
func (k *Keeper) Wait() { k.tasks.Wait() }

// WaitFor is Wait, but returns the error of ctx when that ends first.
func (k *Keeper) WaitFor(ctx context.Context) error {
	done := make(chan struct{})
	go func() { k.tasks.Wait(); close(done) }() // ends with the Serve of the node at the latest
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// See takes over from nodes that have stopped, gives up what others lack, and claims what this node lacks. What fails is
// tried again with the next view.
func (k *Keeper) See(ctx context.Context, v View) {
	for _, n := range v.Silent {
		if k.takeOver(ctx, n) {
			v.Living = slices.DeleteFunc(slices.Clone(v.Living), func(l flawless.Node) bool { return l.ID == n.ID })
		}
	}
	for _, n := range v.Dead {
		if err := k.Store.PutNode(ctx, &n, nil); !errors.Is(err, flawless.Fenced) { // else another node was faster
			k.failed(ctx, "removing the row of a node that has stopped", err)
		}
	}
	owners, err := k.Store.Owners(ctx)
	if err != nil {
		k.failed(ctx, "reading who owns which shard", err)
		return
	}
	k.resume(ctx, owners[:])
	giveUp, claim := plan(k.Self, v.Living, owners[:])
	// Calls in flight are waited for as long as they last. Others may stop meanwhile, whose shards cannot wait.
	if len(giveUp) > 0 && !k.giving.Swap(true) {
		k.tasks.Go(func() {
			defer k.giving.Store(false)
			k.failed(ctx, "giving up shards", k.Owner.Release(ctx, giveUp...))
		})
	}
	if len(claim) > 0 {
		k.failed(ctx, "claiming shards", k.Owner.Gain(ctx, func(ctx context.Context, s *store.Store, l *store.Lease) ([]store.Shard, error) {
			return s.ClaimFree(ctx, l, claim...)
		}))
	}
}

// takeOver claims the shards of a node that has stopped.
func (k *Keeper) takeOver(ctx context.Context, n flawless.Node) bool {
	if k.EndSessions != nil {
		k.EndSessions(ctx, n)
	}
	gained := 0
	err := k.Owner.Gain(ctx, func(ctx context.Context, s *store.Store, l *store.Lease) ([]store.Shard, error) {
		shards, err := s.TakeOver(ctx, l, n, false)
		gained = len(shards)
		return shards, err
	})
	if errors.Is(err, flawless.Fenced) || // it lives, or another node was faster
		k.failed(ctx, "taking over from a node that has stopped", err) {
		return false
	}
	k.Log.Warn("took over from a node that has stopped", "node", n.Name, "id", n.ID, "shards", gained)
	return true
}

// resume gains shards that the store says are this node's, but whose work it has given up because its lease had run out.
// Nobody else has claimed them in the meantime.
func (k *Keeper) resume(ctx context.Context, owners []string) {
	has := k.Owner.Shards()
	var idle []store.Shard
	for sh, owner := range owners[:store.Shards] {
		if _, ok := slices.BinarySearch(has, store.Shard(sh)); owner == k.Self && !ok {
			idle = append(idle, store.Shard(sh))
		}
	}
	if len(idle) > 0 {
		k.failed(ctx, "resuming shards", k.Owner.Gain(ctx, func(ctx context.Context, s *store.Store, l *store.Lease) ([]store.Shard, error) {
			return s.Reclaim(ctx, l, idle...)
		}))
	}
}

// failed logs an error, unless the node is stopping.
func (k *Keeper) failed(ctx context.Context, doing string, err error) bool {
	if err != nil && ctx.Err() == nil {
		k.Log.Error(doing+" failed, will retry", "error", err)
	}
	return err != nil
}
