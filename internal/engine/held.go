package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
)

// A store that is a copy of another one does not know what that one has done since. So what was open in it
// is held back: a run that is held takes no turn and begins no call, and waits for a person as one that is
// paused. Children that it still has to start are held, too. Runs that are started later are not.

// hold returns the entry that holds a run back, or none where it is held or has nothing left to do.
func (s *state) hold(p flawless.Pause, now int64) []flawless.Entry {
	if s.held != nil || s.status != "" && !s.active() {
		return nil
	}
	return []flawless.Entry{{At: max(now, s.at), Pause: &p}}
}

// putOff is lost for a run that is held back: what would be sent again, or waits for a place towards its
// host, waits for the run to be resumed as for the time of its next try. A try that was under way is begun anew
// then, with its whole time-out. The calls of an ended run, which nobody resumes, are in doubt.
func (s *state) putOff(now int64) (out []flawless.Entry) {
	const why = "the engine stopped after the call was begun and before its outcome was written, and this store is a copy"
	at := max(now, s.at)
	for _, c := range s.open() {
		if c.bad != nil || c.kind.Perform == nil || c.doubt != "" || s.status == "" && c.next != 0 {
			continue
		}
		switch {
		case s.status != "":
			out = append(out, flawless.Entry{At: at, Unknown: &flawless.Unknown{Call: c.N, Reason: "this store is a copy, and the original may have made the call"}})
		case c.waits:
			out = append(out, flawless.Entry{At: at, Attempt: &flawless.Attempt{Call: c.N, N: c.try, Next: at, Anew: c.anew, Result: "held back: this store is a copy"}})
		case c.policy.Idempotent:
			out = append(out, flawless.Entry{At: at, Attempt: &flawless.Attempt{Call: c.N, N: c.try, Next: at, Anew: true, Result: why + "; it is idempotent and sent again when the run is resumed"}})
		case c.policy.Tell:
			out = append(out, flawless.Entry{At: at, Arrival: &flawless.Arrival{Answer: effect.InDoubtAnswer(s.id, c.Call, false, why, "", 0), Note: why}})
		default:
			out = append(out, flawless.Entry{At: at, Unknown: &flawless.Unknown{Call: c.N, Reason: why}})
		}
	}
	return out
}

// holdAll holds back all that was open in a store when it was accepted as a copy, and returns when that is
// durable. It is called before anything goes on. A crash in the middle leaves the store holding, and the
// next start goes on with it.
func (e *Engine) holdAll(ctx context.Context) error {
	id := e.store.Identity()
	if !id.Holding {
		return nil
	}
	p := flawless.Pause{Hold: true, Who: "the server", Note: "this store is a copy of " + id.Origin}
	if id.Accepted != nil {
		p.Note += ", accepted " + id.Accepted.UTC().Format(time.RFC3339)
	}
	p.Note += "; what the original has done since is not known here: find out, then resume the run or end it"
	e.holding.Store(&p)
	defer e.holding.Store(nil)
	ids, err := e.unfinished(ctx)
	if err != nil {
		return err
	}
	e.log.Info("this store is a copy, all open runs are held back", "store", id.ID, "origin", id.Origin, "runs", len(ids))
	var all errgroup.Group
	all.SetLimit(64)
	for _, id := range ids {
		all.Go(func() error { return e.holdBack(ctx, id) })
	}
	if err := all.Wait(); err != nil {
		return err
	}
	for _, s := range e.schedules.List() {
		if s.Paused {
			continue
		}
		if _, err := e.schedules.Pause(s.Name, p.Note); err != nil {
			return fmt.Errorf("pausing schedule %s: %w", s.Name, err)
		}
	}
	return e.store.Held(ctx, e.lease)
}

// unfinished returns the runs that are open, or have left something behind that is carried on.
func (e *Engine) unfinished(ctx context.Context) (ids []string, err error) {
	f := flawless.Filter{Limit: 1000}
	for _, s := range flawless.Statuses {
		if !s.Ended() {
			f.Status = append(f.Status, s)
		}
	}
	for {
		runs, next, err := e.store.Runs(ctx, f)
		if err != nil {
			return nil, err
		}
		for _, r := range runs {
			ids = append(ids, r.ID)
		}
		if f.Cursor = next; next == "" {
			break
		}
	}
	for id, err := range e.store.Active(ctx) {
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// holdBack holds a run back, and returns when that is durable. Loading it does so.
func (e *Engine) holdBack(ctx context.Context, id string) error {
	r, err := e.acquire(ctx, id)
	switch {
	case errors.Is(err, flawless.NotFound), errors.Is(err, flawless.Damaged): // one that was set aside begins nothing
		return nil
	case err != nil:
		return err
	}
	defer e.release(r)
	r.mu.Lock()
	defer r.mu.Unlock()
	_, err = r.durable(ctx)
	return err
}
