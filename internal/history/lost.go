package history

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/core"
	"github.com/flawless-engine/flawless/internal/live"
	"github.com/flawless-engine/flawless/internal/ring"
	"github.com/flawless-engine/flawless/internal/rpc"
	"github.com/flawless-engine/flawless/internal/store"
)

// ownLoss is what the database has lost of the writes of this server.
type ownLoss struct {
	losses []store.Loss            // that are not settled
	all    bool                    // its calls are certainly all that were made since
	calls  map[string][]ring.Entry // by run, those that the logs do not have yet
	runs   int                     // that had such calls
}

// lost returns the calls as runs know them.
func (o *ownLoss) lost() map[string][]core.Lost {
	calls := map[string][]core.Lost{}
	for run, entries := range o.calls {
		calls[run] = asLost(entries)
	}
	return calls
}

func asLost(entries []ring.Entry) (calls []core.Lost) {
	for _, c := range entries {
		calls = append(calls, core.Lost{Call: c.Call, Request: c.Request})
	}
	return calls
}

// pending reports whether the logs lack calls of this server that they could have.
func (k *Keeper) pending() bool { return k.own != nil && len(k.own.losses) > 0 }

// known returns in how many runs the database has lost calls of this server.
func (k *Keeper) known() int {
	if k.own == nil {
		return 0
	}
	return k.own.runs
}

// findOwn finds out what the database has lost of this server, once, before it makes the first call.
func (k *Keeper) findOwn(ctx context.Context) error {
	if k.own != nil {
		return nil
	}
	losses, err := k.o.Store.Losses(ctx)
	if err != nil {
		return err
	}
	o := &ownLoss{all: true, calls: map[string][]ring.Entry{}}
	for _, l := range losses {
		if !l.Own {
			continue
		}
		o.losses = append(o.losses, l)
		all := false
		if k.o.Ring != nil && l.Left != nil {
			var calls []ring.Entry
			calls, all = k.o.Ring.After(l.Left)
			for _, c := range calls {
				o.calls[c.Run] = append(o.calls[c.Run], c)
			}
		}
		o.all = o.all && all && !l.Older
		o.runs = len(o.calls)
		k.o.Log.Error("the database has lost writes that it had acknowledged", "reason", l.Why, "found", l.Found, "runs", o.runs, "complete", o.all)
	}
	k.own = o
	return nil
}

// loseOwn makes the calls unresolved that the database has lost of this server. Runs of other servers are left for later,
// unless tell is set: then their owners are asked to do the same.
func (k *Keeper) loseOwn(ctx context.Context, tell bool) error {
	if !k.pending() {
		return nil
	}
	if err := k.loseHere(ctx); err != nil {
		return err
	}
	if tell {
		k.tellOwners(ctx)
	}
	if len(k.own.calls) > 0 {
		return nil
	}
	if !k.own.all {
		r := flawless.HistoryRing{ID: k.own.losses[0].Node, State: flawless.RingIncomplete, Why: k.own.losses[0].Why, Known: k.own.runs}
		older := slices.ContainsFunc(k.own.losses, func(l store.Loss) bool { return l.Older })
		if nodes, err := k.o.Store.Nodes(ctx); err != nil {
			return err
		} else if i := slices.IndexFunc(nodes, func(n flawless.Node) bool { return n.ID == k.o.Lease.Owner() }); i >= 0 {
			r.Node = nodes[i].Name
		}
		for _, sh := range store.AllShards() {
			if older || k.o.Lease.Has(sh) {
				r.Shards = append(r.Shards, int(sh))
			}
		}
		if err := k.ask(ctx, r); err != nil {
			return err
		}
	}
	for _, l := range k.own.losses {
		if err := k.o.Store.SettleLoss(ctx, l); err != nil {
			return err
		}
	}
	k.own.losses = nil
	return nil
}

// loseHere makes the calls unresolved whose runs this server owns.
func (k *Keeper) loseHere(ctx context.Context) error {
	var here []string
	for id := range k.own.calls {
		if k.o.Runs.Owns(id) == nil {
			here = append(here, id)
		}
	}
	k.o.Runs.LoseCalls(&live.Losses{Calls: k.own.lost(), Why: lostWrites}) // for runs that are not in memory
	defer k.o.Runs.LoseCalls(nil)
	var each errgroup.Group
	each.SetLimit(64)
	for _, id := range here {
		each.Go(func() error { return k.loseRun(ctx, k.own.calls[id]) })
	}
	if err := each.Wait(); err != nil {
		return err
	}
	for _, id := range here {
		delete(k.own.calls, id)
	}
	return nil
}

// loseRun makes calls of a run unresolved, and returns when that is durable. If there is no such run, it creates one.
func (k *Keeper) loseRun(ctx context.Context, calls []ring.Entry) error {
	id := calls[0].Run
	_, err := k.o.Change(ctx, id, func(s *core.State, now int64) ([]flawless.Entry, error) {
		return s.Lose(asLost(calls), lostWrites, now), nil
	})
	switch {
	case errors.Is(err, flawless.NotFound):
		return k.createGone(ctx, calls[len(calls)-1], asLost(calls))
	case errors.Is(err, flawless.Damaged): // a quarantined run begins nothing
		return nil
	}
	return err
}

// createGone creates a run that the database does not have any more, so that its id is taken.
func (k *Keeper) createGone(ctx context.Context, c ring.Entry, calls []core.Lost) error {
	r, err := k.o.Runs.Create(c.Run, nil, core.GoneEntries(c.Run, c.Module, c.Workflow, calls, lostWrites+", and the run itself is lost", k.o.Now().UnixNano()))
	if err != nil || r == nil {
		return err
	}
	if _, err = r.Accepted(ctx); errors.Is(err, flawless.Conflict) { // it was removed before
		err = nil
	}
	return err
}

// lostCalls are calls of one server whose runs another one owns.
type lostCalls struct {
	Calls []ring.Entry `cbor:"1,keyasint"`
}

// loseOp makes calls unresolved that the database has lost. When it has succeeded, that is durable. Repeating it changes
// nothing.
const loseOp = rpc.Op[lostCalls, rpc.Nothing]("lose calls")

// tellOwners has the owners of runs make lost calls unresolved. Those that cannot be reached are asked again later.
func (k *Keeper) tellOwners(ctx context.Context) {
	if k.o.Peers == nil || k.o.Peers.Alone() {
		return
	}
	byShard := map[store.Shard][]ring.Entry{}
	for id, calls := range k.own.calls {
		byShard[store.ShardOf(id)] = append(byShard[store.ShardOf(id)], calls...)
	}
	for sh, calls := range byShard {
		if _, err := loseOp.Ask(ctx, k.o.Peers, sh, lostCalls{calls}); err != nil {
			k.o.Log.Warn("telling another server which of its runs have lost calls failed, will retry", "shard", sh, "error", err)
			continue
		}
		for _, c := range calls {
			delete(k.own.calls, c.Run)
		}
	}
}

// loseForOther makes calls of another server unresolved.
func (k *Keeper) loseForOther(ctx context.Context, in lostCalls) (nothing rpc.Nothing, err error) {
	runs := map[string][]ring.Entry{}
	for _, c := range in.Calls {
		if err := k.o.Runs.Owns(c.Run); err != nil {
			return nothing, err
		}
		runs[c.Run] = append(runs[c.Run], c)
	}
	for _, id := range slices.Sorted(maps.Keys(runs)) {
		if err := k.loseRun(ctx, runs[id]); err != nil {
			return nothing, fmt.Errorf("making lost calls of run %s unresolved: %w", id, err)
		}
	}
	return nothing, nil
}

// askForOthers notes what the database has lost of servers that cannot say what it was.
func (k *Keeper) askForOthers(ctx context.Context) error {
	losses, err := k.o.Store.Losses(ctx)
	if err != nil || !slices.ContainsFunc(losses, func(l store.Loss) bool { return !l.Own }) {
		return err
	}
	nodes, err := k.o.Store.Nodes(ctx)
	if err != nil {
		return err
	}
	others := slices.ContainsFunc(nodes, func(n flawless.Node) bool { return n.ID != k.o.Lease.Owner() })
	for _, l := range losses {
		living := slices.ContainsFunc(nodes, func(n flawless.Node) bool { return n.Ring == l.Node && !n.Dead })
		asked := slices.ContainsFunc(k.history.Load().Rings, func(r flawless.HistoryRing) bool { return r.ID == l.Node })
		switch {
		case l.Own, l.Node != "" && (living || asked): // it says so itself
			continue
		case l.Moved && others: // each of them compares, or is asked for when it is taken over
		default:
			r := flawless.HistoryRing{ID: l.Node, State: flawless.RingMissing, Why: l.Why}
			for sh := range store.Shards {
				r.Shards = append(r.Shards, sh)
			}
			if err := k.ask(ctx, r); err != nil {
				return err
			}
		}
		if l.Node == "" {
			if err := k.o.Store.SettleLoss(ctx, l); err != nil {
				return err
			}
		}
	}
	return nil
}

// forgetOthers forgets what the database has lost of servers that have stopped, after somebody has accepted it.
func (k *Keeper) forgetOthers(ctx context.Context) error {
	losses, err := k.o.Store.Losses(ctx)
	if err != nil || len(losses) == 0 {
		return err
	}
	nodes, err := k.o.Store.Nodes(ctx)
	if err != nil {
		return err
	}
	for _, l := range losses {
		living := slices.ContainsFunc(nodes, func(n flawless.Node) bool { return n.Ring == l.Node && !n.Dead })
		if !l.Own && !living {
			if err := k.o.Store.SettleLoss(ctx, l); err != nil {
				return err
			}
		}
	}
	return nil
}
