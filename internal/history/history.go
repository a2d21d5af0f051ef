// Package history keeps calls from being made twice after the store has gone back in time: when the database has lost writes
// that it had acknowledged, or the store is a copy of another one.
//
// Calls that were made since are missing in the logs, and no run may make them again. The ring of each server has its calls:
// they become unresolved, also where another server owns the run by now, and all other runs go on. If a ring cannot have all
// of them, or its server has stopped and nobody has seen its ring, the history is in question: every open run in the shards
// that the server had is held, and ids that callers choose are refused there, until its ring is seen or a person accepts the
// history. The open runs of a copy are held in the same way.
//
// What is in question is in the store, where all servers read it with each renewal of their leases.
package history

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/core"
	"github.com/flawless-engine/flawless/internal/live"
	"github.com/flawless-engine/flawless/internal/ring"
	"github.com/flawless-engine/flawless/internal/rpc"
	"github.com/flawless-engine/flawless/internal/store"
)

// Options configures a Keeper. Everything but Ring and Peers is required.
type Options struct {
	Store *store.Store
	Lease *store.Lease
	Runs  *live.Registry
	Ring  *ring.Ring // the calls of this server; nil is none
	Now   func() time.Time
	Log   *slog.Logger
	Peers *rpc.Endpoint // the other servers; nil is none
	// Change appends what f returns to a run, and returns when that is durable.
	Change func(ctx context.Context, id string, f func(s *core.State, now int64) ([]flawless.Entry, error)) (flawless.Run, error)
	// PauseSchedules pauses all schedules, with the reason for people.
	PauseSchedules func(why string) error
}

// Keeper settles what the store has lost. Hold, Await and Settle are called one after another; all other methods may be called
// concurrently.
type Keeper struct {
	o       Options
	history atomic.Pointer[flawless.History] // as last read
	working sync.Mutex                       // held while something is settled
	own     *ownLoss                         // what the database has lost of this server, nil if nothing; guarded by working
}

// New returns a Keeper. Call Hold, Await and Settle before any run continues.
func New(o Options) *Keeper {
	k := &Keeper{o: o}
	k.history.Store(&flawless.History{})
	if o.Peers != nil {
		loseOp.Handle(o.Peers, k.loseForOther)
	}
	return k
}

// lostWrites is why a call is unresolved that the log does not have, or not all of.
const lostWrites = "the database lost acknowledged writes; the call may have taken effect"

// Await is called before the runs of shards are accepted that were claimed. It finds out what is in question: as long as that
// is not settled, runs that a request or a timer loads are held, or get the calls that they have lost. The caller ends that
// with Settled.
func (k *Keeper) Await(ctx context.Context, shards []store.Shard) error {
	k.working.Lock()
	defer k.working.Unlock()
	if err := k.findOwn(ctx); err != nil {
		return err
	}
	if _, err := k.judge(ctx); err != nil {
		return err
	}
	if err := k.askForOthers(ctx); err != nil {
		return fmt.Errorf("finding out which writes of other servers are lost: %w", err)
	}
	if k.pending() {
		k.o.Runs.LoseCalls(&live.Losses{Calls: k.own.lost(), Why: lostWrites})
	}
	if asked := k.questioned(*k.history.Load(), shards); len(asked) > 0 {
		k.o.Runs.HoldBack(questionedPause(), in(asked))
	}
	return nil
}

// Settle makes sure that nothing happens twice in shards that were claimed because of writes that the database has
// lost, and returns when that is durable. It is called before any run of them continues. After a crash in the middle the next
// owner continues with it.
func (k *Keeper) Settle(ctx context.Context, shards []store.Shard) error {
	k.working.Lock()
	defer k.working.Unlock()
	if err := k.loseOwn(ctx, false); err != nil {
		return fmt.Errorf("settling that the database lost writes: %w", err)
	}
	return k.follow(ctx, shards)
}

// Settled ends what Await has begun.
func (k *Keeper) Settled() {
	k.o.Runs.HoldBack(nil, nil)
	k.o.Runs.LoseCalls(nil)
}

// Refresh does what other servers have found out, or still have to be told. Call it with each renewal of the lease.
func (k *Keeper) Refresh(ctx context.Context) error {
	k.working.Lock()
	defer k.working.Unlock()
	h, err := k.judge(ctx)
	if err != nil || !k.pending() && !h.Open && len(h.Resuming) == 0 {
		return err
	}
	if err := k.loseOwn(ctx, true); err != nil {
		return err
	}
	return k.follow(ctx, k.o.Lease.Owned())
}

// follow holds and resumes the runs of shards as the history says.
func (k *Keeper) follow(ctx context.Context, shards []store.Shard) error {
	h, err := k.answer(ctx)
	if err == nil {
		err = k.holdQuestioned(ctx, h, shards)
	}
	if err == nil {
		err = k.resumeSettled(ctx, shards)
	}
	return err
}

// change changes the history.
func (k *Keeper) change(ctx context.Context, f func(h *flawless.History) bool) (flawless.History, error) {
	h, err := k.o.Store.ChangeHistory(ctx, f)
	if err == nil {
		k.history.Store(&h)
	}
	return h, err
}

// questionedPause is why runs are held while the history is in question.
func questionedPause() *flawless.Pause {
	return &flawless.Pause{Hold: true, Lost: true, Who: "the server",
		Note: "the database may have lost acknowledged writes, so the run may have made calls that its log does not have; flawless history shows what is known"}
}

// questioned returns those of some shards whose runs have to be held, and were not.
func (k *Keeper) questioned(h flawless.History, shards []store.Shard) (asked []store.Shard) {
	for _, sh := range shards {
		if slices.ContainsFunc(h.Rings, func(r flawless.HistoryRing) bool { return k.lacks(r, int(sh)) }) {
			asked = append(asked, sh)
		}
	}
	return asked
}

// lacks reports whether the runs of a shard have to be held because of a ring, and were not. This server is about to answer
// for its own ring: it knows which of its runs have lost calls.
func (k *Keeper) lacks(r flawless.HistoryRing, sh int) bool {
	return r.Open() && (r.State != flawless.RingMissing || !k.isOwn(r)) && slices.Contains(r.Shards, sh) && !slices.Contains(r.Done, sh)
}

// whyLost is why shards are in question whose claims are lost.
const whyLost = "another server had taken shards over in writes that the database has lost, and nobody knows which calls it has made"

// whyTaken is why a ring is asked for.
const whyTaken = "another server of the database has become the primary, and node %s, which has stopped, had not compared its writes with it"

// judge finds out which of the servers that were taken over may have made calls that are lost, and returns the history.
// There is no question if the database is the one in which all writes of that server are.
func (k *Keeper) judge(ctx context.Context) (flawless.History, error) {
	h, err := k.o.Store.History(ctx)
	if err != nil {
		return h, err
	}
	k.history.Store(&h)
	if !slices.ContainsFunc(h.Rings, isTaken) {
		return h, nil
	}
	losses, err := k.o.Store.Losses(ctx)
	if err != nil {
		return h, err
	}
	now := k.o.Store.Branch() // of the database that has answered
	return k.change(ctx, func(h *flawless.History) bool {
		if !slices.ContainsFunc(h.Rings, isTaken) {
			return false
		}
		h.Rings = slices.DeleteFunc(h.Rings, func(r flawless.HistoryRing) bool {
			noted := slices.ContainsFunc(losses, func(l store.Loss) bool { return l.Node == r.ID })
			return isTaken(r) && (len(r.Shards) == 0 || r.Branch == now && !noted || k.isOwn(r) && !k.pending())
		})
		for i := range h.Rings {
			if r := &h.Rings[i]; isTaken(*r) {
				if r.State, r.Why = flawless.RingMissing, fmt.Sprintf(whyTaken, r.Node); r.ID == "" {
					r.Why = whyLost
				}
				if k.isOwn(*r) { // it is about to answer
					k.open(h, "")
				} else {
					k.open(h, r.Why)
					k.o.Log.Error("the database may have lost calls of a node that has stopped; its open runs are held until its ring is seen, or somebody accepts the history (flawless history accept)",
						"node", r.Node, "before", r.Branch, "now", now, "shards", len(r.Shards))
				}
			}
		}
		return true
	})
}

func isTaken(r flawless.HistoryRing) bool { return r.State == flawless.RingTaken }

// isOwn reports whether a ring is that of this server.
func (k *Keeper) isOwn(r flawless.HistoryRing) bool { return k.o.Ring != nil && r.ID == k.o.Ring.ID() }

// open begins a question, unless there is one.
func (k *Keeper) open(h *flawless.History, why string) {
	if !h.Open {
		h.Open, h.Since, h.Reasons, h.Held, h.Known = true, k.o.Now(), nil, 0, 0
	}
	if why != "" && !slices.Contains(h.Reasons, why) {
		h.Reasons = append(h.Reasons, why)
	}
}

// ask notes that calls of a server may be missing in shards.
func (k *Keeper) ask(ctx context.Context, asked flawless.HistoryRing) error {
	_, err := k.change(ctx, func(h *flawless.History) bool {
		i := slices.IndexFunc(h.Rings, func(r flawless.HistoryRing) bool { return r.ID == asked.ID && !isTaken(r) })
		if i < 0 {
			h.Rings = append(h.Rings, asked)
		} else {
			r := &h.Rings[i]
			r.State, r.Why, r.Known = asked.State, asked.Why, max(r.Known, asked.Known)
			r.Shards = union(r.Shards, asked.Shards)
		}
		k.open(h, asked.Why)
		count(h)
		return true
	})
	return err
}

// count sums up what is known about all rings.
func count(h *flawless.History) {
	h.Held, h.Known = 0, 0
	for _, r := range h.Rings {
		h.Held += r.Held
		h.Known += r.Known
	}
}

// answer tells what the ring of this server knows, if somebody asks for it. All its calls that the database has lost are in
// the logs by now. That ends the question for its shards.
func (k *Keeper) answer(ctx context.Context) (flawless.History, error) {
	h := *k.history.Load()
	open := func(r flawless.HistoryRing) bool { return k.isOwn(r) && r.State == flawless.RingMissing }
	if k.pending() || !slices.ContainsFunc(h.Rings, open) {
		return h, nil
	}
	h, err := k.change(ctx, func(h *flawless.History) bool {
		changed := false
		for i := range h.Rings {
			if r := &h.Rings[i]; open(*r) {
				r.State, r.Known, changed = flawless.RingSeen, k.known(), true
				h.Resuming = union(h.Resuming, r.Done)
			}
		}
		count(h)
		if !slices.ContainsFunc(h.Rings, func(r flawless.HistoryRing) bool { return r.Open() }) {
			end(h)
		}
		return changed
	})
	if err == nil {
		k.o.Log.Info("the calls of this server were asked for, and are known", "lost", k.known(), "in_question", h.Open)
	}
	return h, err
}

// end ends the question. The servers resume the runs that they have held.
func end(h *flawless.History) {
	for _, r := range h.Rings {
		if r.Open() {
			h.Resuming = union(h.Resuming, r.Done)
		}
	}
	h.Open, h.Rings = false, slices.DeleteFunc(h.Rings, func(r flawless.HistoryRing) bool { return !isTaken(r) })
}

// holdQuestioned holds back the open runs of shards that are in question, and returns when that is durable. It does so once
// for each shard and ring: a person may have resumed some of them since.
func (k *Keeper) holdQuestioned(ctx context.Context, h flawless.History, shards []store.Shard) error {
	todo := k.questioned(h, shards)
	if len(todo) == 0 {
		return nil
	}
	n, err := k.holdOpen(ctx, questionedPause(), in(todo))
	if err != nil {
		return err
	}
	k.o.Log.Warn("the history of the store is in question: open runs are held until somebody accepts it (flawless history accept)", "runs", n, "shards", len(todo))
	_, err = k.change(ctx, func(h *flawless.History) bool {
		held := n // it may be called again
		for _, sh := range todo {
			done := false
			for i := range h.Rings {
				if r := &h.Rings[i]; k.lacks(*r, int(sh)) {
					r.Done, done = append(r.Done, int(sh)), true
					r.Held += held
					held = 0 // all are counted once
				}
			}
			if !done { // the question has ended meanwhile
				h.Resuming = union(h.Resuming, []int{int(sh)})
			}
		}
		count(h)
		return true
	})
	return err
}

// resumeSettled resumes the runs of shards that were held because of a question that has ended, unless they are held because
// of another one.
func (k *Keeper) resumeSettled(ctx context.Context, shards []store.Shard) error {
	h := k.history.Load()
	var todo []store.Shard
	for _, sh := range shards {
		if slices.Contains(h.Resuming, int(sh)) && !h.Questioned(int(sh)) {
			todo = append(todo, sh)
		}
	}
	if len(todo) == 0 {
		return nil
	}
	p := flawless.Pause{Resume: true, Who: "the server", Note: "all calls that were made are known now"}
	if h.Accepted != nil && !h.Accepted.Before(h.Since) {
		p.Who, p.Note = h.Who, strings.TrimSuffix("the history was accepted: "+h.Note, ": ")
	}
	ids, err := k.unfinished(ctx)
	if err != nil {
		return err
	}
	which := in(todo)
	var all errgroup.Group
	all.SetLimit(64)
	for _, id := range ids {
		if which(id) {
			all.Go(func() error { return k.resume(ctx, id, p) })
		}
	}
	if err := all.Wait(); err != nil {
		return fmt.Errorf("resuming held runs: %w", err)
	}
	_, err = k.change(ctx, func(h *flawless.History) bool {
		h.Resuming = slices.DeleteFunc(h.Resuming, func(sh int) bool { return slices.Contains(todo, store.Shard(sh)) })
		return true
	})
	return err
}

// resume resumes a run if it is held because of the question.
func (k *Keeper) resume(ctx context.Context, id string, p flawless.Pause) error {
	_, err := k.o.Change(ctx, id, func(s *core.State, now int64) ([]flawless.Entry, error) {
		if held := s.Held(); held == nil || !held.Lost {
			return nil, nil
		}
		return s.Pause(p, now)
	})
	switch flawless.CodeOf(err) {
	case flawless.NotFound, flawless.Damaged, flawless.Conflict: // it was removed, is quarantined, or has ended meanwhile
		return nil
	}
	return err
}

// History returns whether the history of the store is in question, as of the last renewal of the lease.
func (k *Keeper) History() flawless.History { return *k.history.Load() }

// Read returns whether the history of the store is in question, and for which servers held runs wait after it has ended.
func (k *Keeper) Read(ctx context.Context) (flawless.History, error) {
	h, err := k.o.Store.History(ctx)
	if err == nil && len(h.Resuming) > 0 {
		h.Waiting, err = k.waiting(ctx, h)
	}
	return h, err
}

// waiting returns the names of the servers that have to resume runs.
func (k *Keeper) waiting(ctx context.Context, h flawless.History) ([]string, error) {
	owners, err := k.o.Store.Owners(ctx)
	if err != nil {
		return nil, err
	}
	nodes, err := k.o.Store.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	names := map[string]int{}
	for _, sh := range h.Resuming {
		name := "the next server that starts"
		if i := slices.IndexFunc(nodes, func(n flawless.Node) bool { return n.ID == owners[sh] && !n.Dead }); i >= 0 {
			name = "node " + nodes[i].Name
		}
		names[name]++
	}
	var list []string
	for _, name := range slices.Sorted(maps.Keys(names)) {
		list = append(list, fmt.Sprintf("%s (%d shards)", name, names[name]))
	}
	return list, nil
}

// Check refuses an id that a caller has chosen while the history of its shard is in question: a run with it may have been
// lost.
func (k *Keeper) Check(id string) error {
	if h := k.history.Load(); h.Questioned(int(store.ShardOf(id))) {
		return fmt.Errorf("starting run %s: the database may have lost acknowledged writes, and with them a run with this id; no run with such an id starts until somebody accepts the history (flawless history accept): %w", id, flawless.Conflict)
	}
	return nil
}

// CheckSchedules refuses to start runs of schedules while the history is in question.
func (k *Keeper) CheckSchedules() error {
	if h := k.history.Load(); h.Open {
		return fmt.Errorf("starting runs of schedules: the database may have lost acknowledged writes, and with them runs of schedules; none starts until somebody accepts the history (flawless history accept): %w", flawless.Conflict)
	}
	return nil
}

// Accept ends the question whether calls were made of which nobody knows. All servers resume the runs that were held because
// of it: this one before Accept returns, the others with the next renewal of their leases, for which it waits for a moment.
// Without a question it changes nothing. After a crash in the middle the question has ended, and the runs are resumed.
func (k *Keeper) Accept(ctx context.Context, who, note string) (flawless.History, error) {
	h, err := k.accept(ctx, who, note)
	if err != nil {
		return h, fmt.Errorf("accepting the history: %w", err)
	}
	for began := time.Now(); len(h.Resuming) > 0 && time.Since(began) < rpc.Patience; {
		select {
		case <-time.After(rpc.Pause):
		case <-ctx.Done():
			return h, nil
		}
		if h, err = k.o.Store.History(ctx); err != nil {
			return h, err
		}
	}
	return k.Read(ctx)
}

func (k *Keeper) accept(ctx context.Context, who, note string) (h flawless.History, err error) {
	k.working.Lock()
	defer k.working.Unlock()
	if _, err := k.judge(ctx); err != nil {
		return h, err
	}
	was := false
	h, err = k.change(ctx, func(h *flawless.History) bool {
		if was = h.Open; was {
			now := k.o.Now()
			h.Accepted, h.Who, h.Note = &now, who, note
			end(h)
		}
		return was
	})
	if err != nil {
		return h, err
	}
	if was {
		k.o.Log.Warn("the history of the store was accepted, the held runs continue", "who", cmp.Or(who, "somebody"))
	}
	if err := k.forgetOthers(ctx); err != nil {
		return h, err
	}
	if err := k.resumeSettled(ctx, k.o.Lease.Owned()); err != nil {
		return h, err
	}
	return *k.history.Load(), nil
}

// in returns a function that reports whether shards have a run.
func in(shards []store.Shard) func(run string) bool {
	set := map[store.Shard]bool{}
	for _, sh := range shards {
		set[sh] = true
	}
	return func(run string) bool { return set[store.ShardOf(run)] }
}

// union returns what is in either of two sets.
func union(a, b []int) []int {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}
