package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/core"
	"github.com/flawless-engine/flawless/internal/live"
	"github.com/flawless-engine/flawless/internal/ring"
	"github.com/flawless-engine/flawless/internal/store"
)

// This file is about a database that has lost writes which it had acknowledged. Calls that were made since are missing in
// the logs, and no run may make them again.
//
// The ring of this server has its calls: they become unresolved, and all other runs go on. If it cannot have all of them, or
// the writes of another server were lost, too, the history is in question: every open run is held, and ids that callers
// choose are refused, until a person accepts the history.

// lostWrites is why a call is unresolved that the log does not have, or not all of.
const lostWrites = "the database lost acknowledged writes; the call may have taken effect"

// settleHistory makes sure that nothing happens twice in shards that were claimed because of writes that the database has
// lost, and returns when that is durable. It is called before any run of them continues. After a crash in the middle the next
// owner continues with it.
func (e *Engine) settleHistory(ctx context.Context, shards []store.Shard) error {
	h, err := e.store.History(ctx)
	if err != nil {
		return err
	}
	e.history.Store(&h)
	losses, err := e.store.Losses(ctx)
	if err != nil {
		return err
	}
	for _, l := range losses {
		if err := e.settleLoss(ctx, l); err != nil {
			return fmt.Errorf("settling that the database lost writes (%s): %w", l.Why, err)
		}
	}
	return e.holdQuestioned(ctx, ofRuns(shards))
}

// awaitHistory is called before the runs of shards are accepted that were claimed while others are at work. As long as it is
// not known what a loss means for them, none that a request or a timer loads goes on.
func (e *Engine) awaitHistory(ctx context.Context, shards []store.Shard) error {
	h, err := e.store.History(ctx)
	if err != nil {
		return err
	}
	losses, err := e.store.Losses(ctx)
	if err == nil && (h.Open || len(losses) > 0) {
		e.runs.HoldBack(questionedPause(), setOf(shards).run)
	}
	return err
}

// questionedPause is why runs are held while the history is in question.
func questionedPause() *flawless.Pause {
	return &flawless.Pause{Hold: true, Lost: true, Who: "the server",
		Note: "the database may have lost acknowledged writes, so the run may have made calls that its log does not have; flawless history shows what is known"}
}

// settleLoss settles one loss.
func (e *Engine) settleLoss(ctx context.Context, l store.Loss) error {
	var calls []ring.Entry
	all := false
	if l.Own && e.ring != nil && l.Left != nil {
		calls, all = e.ring.After(l.Left)
	}
	all = all && !l.Older
	n, elsewhere, err := e.loseCalls(ctx, calls)
	if err != nil {
		return err
	}
	all = all && !elsewhere
	e.log.Error("the database has lost writes that it had acknowledged", "reason", l.Why, "found", l.Found, "unresolved", n, "complete", all)
	if !all {
		if err := e.question(ctx, l, n); err != nil {
			return err
		}
	}
	return e.store.SettleLoss(ctx, l)
}

// loseCalls makes calls unresolved that the database has lost, and returns the number of their runs. Runs in shards of other
// servers stay as they are, and elsewhere is set.
func (e *Engine) loseCalls(ctx context.Context, calls []ring.Entry) (n int, elsewhere bool, err error) {
	lost := live.Losses{Calls: map[string][]core.Lost{}, Why: lostWrites}
	start := map[string]ring.Entry{}
	for _, c := range calls {
		lost.Calls[c.Run] = append(lost.Calls[c.Run], core.Lost{Call: c.Call, Request: c.Request})
		start[c.Run] = c
	}
	e.runs.LoseCalls(&lost)
	defer e.runs.LoseCalls(nil)
	var each errgroup.Group
	each.SetLimit(64)
	for _, id := range slices.Sorted(maps.Keys(lost.Calls)) {
		if e.runs.Owns(id) != nil {
			elsewhere = true
			continue
		}
		n++
		each.Go(func() error {
			r, err := e.runs.Acquire(ctx, id)
			switch {
			case errors.Is(err, flawless.NotFound):
				return e.createGone(ctx, id, start[id], lost.Calls[id])
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
func (e *Engine) createGone(ctx context.Context, id string, c ring.Entry, calls []core.Lost) error {
	r, err := e.runs.Create(id, nil, core.GoneEntries(id, c.Module, c.Workflow, calls, lostWrites+", and the run itself is lost", e.now()))
	if err != nil || r == nil {
		return err
	}
	if _, err = r.Accepted(ctx); errors.Is(err, flawless.Conflict) { // it was removed before
		err = nil
	}
	return err
}

// question notes that calls may have been made of which nobody knows.
func (e *Engine) question(ctx context.Context, l store.Loss, known int) error {
	h := e.History()
	if !h.Open {
		h = flawless.History{Since: e.clockNow()}
	}
	h.Open, h.Shards = true, nil
	h.Known += known
	if !slices.Contains(h.Reasons, l.Why) {
		h.Reasons = append(slices.Clone(h.Reasons), l.Why)
	}
	return e.putHistory(ctx, h)
}

func (e *Engine) putHistory(ctx context.Context, h flawless.History) error {
	if err := e.store.PutHistory(ctx, e.lease, e.History(), h); err != nil {
		return err
	}
	e.history.Store(&h)
	return nil
}

// History returns whether the history of the store is in question.
func (e *Engine) History() flawless.History { return *e.history.Load() }

// holdQuestioned holds back the open runs of shards while the history is in question, and returns when that is durable. It
// does so once for each shard: a person may have resumed some of them since.
func (e *Engine) holdQuestioned(ctx context.Context, shards []store.Shard) error {
	h := e.History()
	shards = slices.DeleteFunc(slices.Clone(shards), func(sh store.Shard) bool { return slices.Contains(h.Shards, int(sh)) })
	if !h.Open || len(shards) == 0 {
		return nil
	}
	n, err := e.holdOpen(ctx, questionedPause(), setOf(shards).run)
	if err != nil {
		return err
	}
	e.log.Warn("the history of the store is in question: all open runs are held until somebody accepts it (flawless history accept)", "runs", n)
	h.Held += n
	for _, sh := range shards {
		h.Shards = append(h.Shards, int(sh))
	}
	return e.putHistory(ctx, h)
}

// checkHistory refuses an id that a caller has chosen while the history is in question: a run with it may have been lost.
func (e *Engine) checkHistory(id string) error {
	if h := e.history.Load(); h != nil && h.Open {
		return fmt.Errorf("starting run %s: the database may have lost acknowledged writes, and with them a run with this id; no run with an id of its caller's starts until somebody accepts the history (flawless history accept): %w", id, flawless.Conflict)
	}
	return nil
}

// AcceptHistory ends the question whether calls were made of which nobody knows, and resumes the runs that were held because
// of it. Without a question it changes nothing. It returns flawless.Conflict if other servers own some of the runs. After a
// crash in the middle some runs are still held: call it again.
func (e *Engine) AcceptHistory(ctx context.Context, who, note string) (flawless.History, error) {
	e.accepting.Lock()
	defer e.accepting.Unlock()
	h := e.History()
	if !h.Open {
		return h, nil
	}
	if !e.runs.OwnsAll() {
		return h, fmt.Errorf("accepting the history: other servers own some of the runs; leave only one server running: %w", flawless.Conflict)
	}
	ids, err := e.unfinished(ctx)
	if err != nil {
		return h, err
	}
	why := strings.TrimSuffix("the history was accepted: "+note, ": ")
	var all errgroup.Group
	all.SetLimit(64)
	for _, id := range ids {
		all.Go(func() error { return e.resumeAccepted(ctx, id, flawless.Pause{Resume: true, Who: who, Note: why}) })
	}
	if err := all.Wait(); err != nil {
		return h, fmt.Errorf("accepting the history: %w", err)
	}
	now := e.clockNow()
	h.Open, h.Accepted, h.Who, h.Note = false, &now, who, note
	if err := e.putHistory(ctx, h); err != nil {
		return h, fmt.Errorf("accepting the history: %w", err)
	}
	e.log.Warn("the history of the store was accepted, the held runs continue", "who", cmp.Or(who, "somebody"))
	return h, nil
}

// resumeAccepted resumes a run if it is held because of the question.
func (e *Engine) resumeAccepted(ctx context.Context, id string, p flawless.Pause) error {
	_, err := e.change(ctx, id, func(s *core.State, now int64) ([]flawless.Entry, error) {
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

// removeLost removes a run that the database has lost, once a person has decided that none of its calls took effect.
func (e *Engine) removeLost(ctx context.Context, id string) error {
	err := e.store.Remove(ctx, e.lease, id, false)
	if errors.Is(err, flawless.NotFound) {
		return nil
	}
	return err
}

// watchLease cuts calls off soon after the lease of this server has ended, if others may repeat them.
func (e *Engine) watchLease(valid func() bool) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for was := true; ; {
		select {
		case <-e.life.Turns.Done():
			return
		case <-tick.C:
		}
		now := valid()
		if was && !now {
			e.runs.CutOff()
		}
		was = now
	}
}
