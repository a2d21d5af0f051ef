// Package history keeps calls from being made twice after the store has gone back in time: when the database has lost writes
// that it had acknowledged, or the store is a copy of another one.
//
// Calls that were made since are missing in the logs, and no run may make them again. The ring of this server has its calls:
// they become unresolved, and all other runs go on. If it cannot have all of them, or the writes of another server were lost,
// too, the history is in question: every open run is held, and ids that callers choose are refused, until a person accepts
// the history. The open runs of a copy are held in the same way.
package history

import (
	"cmp"
	"context"
	"errors"
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
	"github.com/flawless-engine/flawless/internal/store"
)

// Options configures a Keeper. Everything but Ring is required.
type Options struct {
	Store *store.Store
	Lease *store.Lease
	Runs  *live.Registry
	Ring  *ring.Ring // the calls of this server; nil is none
	Now   func() time.Time
	Log   *slog.Logger
	// Change appends what f returns to a run, and returns when that is durable.
	Change func(ctx context.Context, id string, f func(s *core.State, now int64) ([]flawless.Entry, error)) (flawless.Run, error)
	// PauseSchedules pauses all schedules, with the reason for people.
	PauseSchedules func(why string) error
}

// Keeper settles what the store has lost. Hold, Await and Settle are called one after another; all other methods may be called
// concurrently.
type Keeper struct {
	o         Options
	history   atomic.Pointer[flawless.History] // as stored
	accepting sync.Mutex                       // held while the history is accepted
}

// New returns a Keeper. Call Hold and Settle before any run continues.
func New(o Options) *Keeper { return &Keeper{o: o} }

// lostWrites is why a call is unresolved that the log does not have, or not all of.
const lostWrites = "the database lost acknowledged writes; the call may have taken effect"

// Settle makes sure that nothing happens twice in shards that were claimed because of writes that the database has
// lost, and returns when that is durable. It is called before any run of them continues. After a crash in the middle the next
// owner continues with it.
func (k *Keeper) Settle(ctx context.Context, shards []store.Shard) error {
	h, err := k.o.Store.History(ctx)
	if err != nil {
		return err
	}
	k.history.Store(&h)
	losses, err := k.o.Store.Losses(ctx)
	if err != nil {
		return err
	}
	for _, l := range losses {
		if err := k.settleLoss(ctx, l); err != nil {
			return fmt.Errorf("settling that the database lost writes (%s): %w", l.Why, err)
		}
	}
	return k.holdQuestioned(ctx, shards)
}

// Await is called before the runs of shards are accepted that were claimed while others are at work. As long as it is
// not known what a loss means for them, none that a request or a timer loads goes on. The caller ends that
// with HoldBack of the Registry, after Settle.
func (k *Keeper) Await(ctx context.Context, shards []store.Shard) error {
	h, err := k.o.Store.History(ctx)
	if err != nil {
		return err
	}
	losses, err := k.o.Store.Losses(ctx)
	if err == nil && (h.Open || len(losses) > 0) {
		k.o.Runs.HoldBack(questionedPause(), in(shards))
	}
	return err
}

// questionedPause is why runs are held while the history is in question.
func questionedPause() *flawless.Pause {
	return &flawless.Pause{Hold: true, Lost: true, Who: "the server",
		Note: "the database may have lost acknowledged writes, so the run may have made calls that its log does not have; flawless history shows what is known"}
}

// settleLoss settles one loss.
func (k *Keeper) settleLoss(ctx context.Context, l store.Loss) error {
	var calls []ring.Entry
	all := false
	if l.Own && k.o.Ring != nil && l.Left != nil {
		calls, all = k.o.Ring.After(l.Left)
	}
	all = all && !l.Older
	n, elsewhere, err := k.loseCalls(ctx, calls)
	if err != nil {
		return err
	}
	all = all && !elsewhere
	k.o.Log.Error("the database has lost writes that it had acknowledged", "reason", l.Why, "found", l.Found, "unresolved", n, "complete", all)
	if !all {
		if err := k.question(ctx, l, n); err != nil {
			return err
		}
	}
	return k.o.Store.SettleLoss(ctx, l)
}

// loseCalls makes calls unresolved that the database has lost, and returns the number of their runs. Runs in shards of other
// servers stay as they are, and elsewhere is set.
func (k *Keeper) loseCalls(ctx context.Context, calls []ring.Entry) (n int, elsewhere bool, err error) {
	lost := live.Losses{Calls: map[string][]core.Lost{}, Why: lostWrites}
	start := map[string]ring.Entry{}
	for _, c := range calls {
		lost.Calls[c.Run] = append(lost.Calls[c.Run], core.Lost{Call: c.Call, Request: c.Request})
		start[c.Run] = c
	}
	k.o.Runs.LoseCalls(&lost)
	defer k.o.Runs.LoseCalls(nil)
	var each errgroup.Group
	each.SetLimit(64)
	for _, id := range slices.Sorted(maps.Keys(lost.Calls)) {
		if k.o.Runs.Owns(id) != nil {
			elsewhere = true
			continue
		}
		n++
		each.Go(func() error {
			r, err := k.o.Runs.Acquire(ctx, id)
			switch {
			case errors.Is(err, flawless.NotFound):
				return k.createGone(ctx, id, start[id], lost.Calls[id])
			case errors.Is(err, flawless.Damaged): // a quarantined run begins nothing
				return nil
			case err != nil:
				return err
			}
			defer r.Release()
			_, err = r.Durable(ctx)
			return err
		})
	}
	return n, elsewhere, each.Wait()
}

// createGone creates a run that the database does not have any more, so that its id is taken.
func (k *Keeper) createGone(ctx context.Context, id string, c ring.Entry, calls []core.Lost) error {
	r, err := k.o.Runs.Create(id, nil, core.GoneEntries(id, c.Module, c.Workflow, calls, lostWrites+", and the run itself is lost", k.o.Now().UnixNano()))
	if err != nil || r == nil {
		return err
	}
	if _, err = r.Accepted(ctx); errors.Is(err, flawless.Conflict) { // it was removed before
		err = nil
	}
	return err
}

// question notes that calls may have been made of which nobody knows.
func (k *Keeper) question(ctx context.Context, l store.Loss, known int) error {
	h := k.History()
	if !h.Open {
		h = flawless.History{Since: k.o.Now()}
	}
	h.Open, h.Shards = true, nil
	h.Known += known
	if !slices.Contains(h.Reasons, l.Why) {
		h.Reasons = append(slices.Clone(h.Reasons), l.Why)
	}
	return k.putHistory(ctx, h)
}

func (k *Keeper) putHistory(ctx context.Context, h flawless.History) error {
	if err := k.o.Store.PutHistory(ctx, k.o.Lease, k.History(), h); err != nil {
		return err
	}
	k.history.Store(&h)
	return nil
}

// History returns whether the history of the store is in question.
func (k *Keeper) History() flawless.History { return *k.history.Load() }

// holdQuestioned holds back the open runs of shards while the history is in question, and returns when that is durable. It
// does so once for each shard: a person may have resumed some of them since.
func (k *Keeper) holdQuestioned(ctx context.Context, shards []store.Shard) error {
	h := k.History()
	shards = slices.DeleteFunc(slices.Clone(shards), func(sh store.Shard) bool { return slices.Contains(h.Shards, int(sh)) })
	if !h.Open || len(shards) == 0 {
		return nil
	}
	n, err := k.holdOpen(ctx, questionedPause(), in(shards))
	if err != nil {
		return err
	}
	k.o.Log.Warn("the history of the store is in question: all open runs are held until somebody accepts it (flawless history accept)", "runs", n)
	h.Held += n
	for _, sh := range shards {
		h.Shards = append(h.Shards, int(sh))
	}
	return k.putHistory(ctx, h)
}

// Check refuses an id that a caller has chosen while the history is in question: a run with it may have been lost.
func (k *Keeper) Check(id string) error {
	if h := k.history.Load(); h != nil && h.Open {
		return fmt.Errorf("starting run %s: the database may have lost acknowledged writes, and with them a run with this id; no run with an id of its caller's starts until somebody accepts the history (flawless history accept): %w", id, flawless.Conflict)
	}
	return nil
}

// Accept ends the question whether calls were made of which nobody knows, and resumes the runs that were held because
// of it. Without a question it changes nothing. It returns flawless.Conflict if other servers own some of the runs. After a
// crash in the middle some runs are still held: call it again.
func (k *Keeper) Accept(ctx context.Context, who, note string) (flawless.History, error) {
	k.accepting.Lock()
	defer k.accepting.Unlock()
	h := k.History()
	if !h.Open {
		return h, nil
	}
	if !k.o.Runs.OwnsAll() {
		return h, fmt.Errorf("accepting the history: other servers own some of the runs; leave only one server running: %w", flawless.Conflict)
	}
	ids, err := k.unfinished(ctx)
	if err != nil {
		return h, err
	}
	why := strings.TrimSuffix("the history was accepted: "+note, ": ")
	var all errgroup.Group
	all.SetLimit(64)
	for _, id := range ids {
		all.Go(func() error { return k.resumeAccepted(ctx, id, flawless.Pause{Resume: true, Who: who, Note: why}) })
	}
	if err := all.Wait(); err != nil {
		return h, fmt.Errorf("accepting the history: %w", err)
	}
	now := k.o.Now()
	h.Open, h.Accepted, h.Who, h.Note = false, &now, who, note
	if err := k.putHistory(ctx, h); err != nil {
		return h, fmt.Errorf("accepting the history: %w", err)
	}
	k.o.Log.Warn("the history of the store was accepted, the held runs continue", "who", cmp.Or(who, "somebody"))
	return h, nil
}

// resumeAccepted resumes a run if it is held because of the question.
func (k *Keeper) resumeAccepted(ctx context.Context, id string, p flawless.Pause) error {
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

// in returns a function that reports whether shards have a run.
func in(shards []store.Shard) func(run string) bool {
	set := map[store.Shard]bool{}
	for _, sh := range shards {
		set[sh] = true
	}
	return func(run string) bool { return set[store.ShardOf(run)] }
}
