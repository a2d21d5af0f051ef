package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/admit"
	"github.com/flawless-engine/flawless/internal/core"
	"github.com/flawless-engine/flawless/internal/doubt"
	"github.com/flawless-engine/flawless/internal/live"
	"github.com/flawless-engine/flawless/internal/store"
)

// Run returns the durable state of a run, or flawless.NotFound.
func (e *Engine) Run(ctx context.Context, id string) (flawless.Run, error) {
	if err := flawless.CheckID(id); err != nil {
		return flawless.Run{}, err
	}
	r, err := e.runs.Summary(ctx, id)
	if errors.Is(err, store.ErrStale) {
		return flawless.Run{}, fmt.Errorf("there is no run %s yet: %w", id, flawless.NotFound)
	}
	return r, err
}

// Runs returns a page of the runs that a filter selects, newest first, and the cursor of the next page, "" at the end.
// Counts in a page may be up to three seconds old, see [live.Registry.KeepRows].
func (e *Engine) Runs(ctx context.Context, f flawless.Filter) ([]flawless.Run, string, error) {
	return e.store.Runs(ctx, f)
}

// Log returns at most limit records of a run's log, beginning with number from; limit 0 returns all.
func (e *Engine) Log(ctx context.Context, id string, from uint64, limit int) ([]flawless.Record, error) {
	var out []flawless.Record
	for rec, err := range e.Records(ctx, id, from) {
		if err != nil {
			return out, err
		}
		if out = append(out, rec); len(out) == limit {
			break
		}
	}
	return out, nil
}

// Records yields the records of a run's log, beginning with number from, as they were at one moment. It has one of them in
// memory at a time.
func (e *Engine) Records(ctx context.Context, id string, from uint64) iter.Seq2[flawless.Record, error] {
	return func(yield func(flawless.Record, error) bool) {
		if _, err := e.store.Head(ctx, id); err != nil {
			yield(flawless.Record{}, err)
			return
		}
		e.store.Log(ctx, id, from)(yield)
	}
}

// LogPage returns a part of a run's log, see [store.Store.LogPage].
func (e *Engine) LogPage(ctx context.Context, id string, from uint64, limit, size int) (store.Page, error) {
	if _, err := e.store.Head(ctx, id); err != nil {
		return store.Page{}, err
	}
	return e.store.LogPage(ctx, id, from, limit, size)
}

// Data returns the data that the run published last, or flawless.NotFound.
func (e *Engine) Data(ctx context.Context, id string) (json.RawMessage, error) {
	if _, err := e.store.Head(ctx, id); err != nil {
		return nil, err
	}
	b, err := e.store.Data(ctx, id)
	if errors.Is(err, flawless.NotFound) {
		return nil, fmt.Errorf("run %s has published no data: %w", id, flawless.NotFound)
	}
	return b, err
}

// WithSent returns a run with what was sent by its calls whose outcome is unknown, see [doubt.Logs.WithSent].
func (e *Engine) WithSent(ctx context.Context, run flawless.Run) (flawless.Run, error) {
	return doubt.Logs{Log: e.store.Log, Begun: e.begun}.WithSent(ctx, run)
}

// Resolve carries out a person's decision about a call whose outcome is unknown. It returns when the decision is durable,
// and flawless.Conflict if the outcome is not unknown, with the decision that somebody else has made before.
func (e *Engine) Resolve(ctx context.Context, id string, d flawless.Decision) (flawless.Run, error) {
	d.Body = bytes.Clone(d.Body)
	forgotten := false
	r, err := e.change(ctx, id, func(s *core.State, now int64) ([]flawless.Entry, error) {
		return s.Once(e.request(ctx), func() ([]flawless.Entry, error) {
			entries, err := s.Decide(d, now)
			forgotten = s.Forgets(entries)
			return entries, err
		})
	})
	if err == nil && forgotten {
		err = e.removeLost(ctx, id)
	}
	if errors.Is(err, flawless.Conflict) {
		err = e.alreadyDecided(ctx, id, d.Call, err)
	}
	return r, err
}

// alreadyDecided adds to the refusal of a decision who has decided about the call before, if anybody has.
func (e *Engine) alreadyDecided(ctx context.Context, id string, call int, refusal error) error {
	var last *flawless.Entry
	for rec, err := range e.store.Log(ctx, id, 0) {
		if err != nil {
			return refusal
		}
		for _, x := range rec.Entries {
			if x.Decision != nil && x.Decision.Call == call {
				last = &x
			}
		}
	}
	if last == nil {
		return refusal
	}
	d, note := last.Decision, ""
	if d.Note != "" {
		note = " (" + d.Note + ")"
	}
	return fmt.Errorf("%s decided %s for call %d of run %s at %s%s: %w", core.NameOf(d.Who), d.Resolution, call, id, time.Unix(0, last.At).UTC().Format(time.RFC3339), note, refusal)
}

// Cancel asks a run to give up; its code learns of it and may compensate. If c has a deadline, the run is terminated unless
// it has ended by then. Cancelling it again changes nothing, except that an earlier deadline replaces a later one.
func (e *Engine) Cancel(ctx context.Context, id string, c flawless.Cancel) (flawless.Run, error) {
	if isTooFar(time.Unix(0, c.Deadline), e.clockNow()) {
		return flawless.Run{}, fmt.Errorf("cancelling run %s: the deadline is at %s; use a time within the next 10 years: %w", id, time.Unix(0, c.Deadline).UTC().Format(time.RFC3339), flawless.Invalid)
	}
	return e.once(ctx, e.runs.Acquire, id, func(s *core.State, now int64) ([]flawless.Entry, error) { return s.RequestCancel(c, now) })
}

// Pause keeps a run from taking turns, or resumes it. What arrives meanwhile is kept for it. Pausing a paused run changes
// nothing.
func (e *Engine) Pause(ctx context.Context, id string, p flawless.Pause) (flawless.Run, error) {
	return e.once(ctx, e.runs.Acquire, id, func(s *core.State, now int64) ([]flawless.Entry, error) { return s.Pause(p, now) })
}

// Terminate ends a run without telling its code. Calls that wait for a retry or a permit are withdrawn; those in flight are
// not stopped, and their outcomes are still logged. If the run has completed already, Terminate withdraws the calls that
// wait, and returns flawless.Conflict if there are none.
func (e *Engine) Terminate(ctx context.Context, id string, c flawless.Cancel) (flawless.Run, error) {
	end := func(s *core.State, now int64) ([]flawless.Entry, error) { return s.Terminate(c, now) }
	run, err := e.once(ctx, e.runs.AcquireQuarantined, id, end) // if only its guest could not be made, its log can be read
	if errors.Is(err, flawless.Damaged) {
		return e.terminateUnread(ctx, id, c, err)
	}
	return run, err
}

// terminateUnread ends a run whose log cannot be read; only its head can be written.
func (e *Engine) terminateUnread(ctx context.Context, id string, c flawless.Cancel, cause error) (flawless.Run, error) {
	head, err := e.store.Head(ctx, id)
	if err != nil {
		return flawless.Run{}, errors.Join(cause, err)
	}
	if head.Run.Status.Ended() {
		return head.Run, fmt.Errorf("terminating run %s: it is %s already: %w", id, head.Run.Status, flawless.Conflict)
	}
	after, at := head, e.clockNow()
	after.Active, after.Wake, after.Run.Retrying, after.Run.RetryingCalls = false, 0, nil, 0
	end := core.Terminated(c)
	after.Run.Status, after.Run.Ended, after.Run.Failure, after.Run.Unresolved, after.Run.Waiting = end.Status, &at, &end.Failure, nil, nil
	err = elsewhere(e.store.Write(ctx, e.lease, store.Write{ID: id, Before: &head, After: &after}))
	if err == nil {
		e.caps.Leave(admit.RunOf(after.Run))
		e.hub.Publish(after.Run)
	}
	return after.Run, err
}

// Urge starts the next attempt of a call now, or ends its retries. It returns when that is durable; flawless.Conflict if
// the call does not wait for an attempt, or several do and none is named.
func (e *Engine) Urge(ctx context.Context, id string, d core.RetryDecision) (flawless.Run, error) {
	return e.once(ctx, e.runs.Acquire, id, func(s *core.State, now int64) ([]flawless.Entry, error) { return s.DecideRetry(d, now, e.terms(s)) })
}

// terms returns what the operator and the module declare for the calls of a run.
func (e *Engine) terms(s *core.State) func(*core.OpenCall) core.Terms {
	start := s.Start()
	return func(c *core.OpenCall) core.Terms { return e.policy.Terms(start.Module, start.Digest, c.Policy()) }
}

// peek calls f with the state of a run, and returns when all that f has seen is durable.
func (e *Engine) peek(ctx context.Context, id string, f func(s *core.State)) error {
	_, err := e.change(ctx, id, func(s *core.State, _ int64) ([]flawless.Entry, error) {
		f(s)
		return nil, nil
	})
	return err
}

// change appends what f returns to a run and returns when that is durable.
func (e *Engine) change(ctx context.Context, id string, f func(s *core.State, now int64) ([]flawless.Entry, error)) (flawless.Run, error) {
	return e.changeWith(ctx, e.runs.Acquire, id, f)
}

// once is changeWith that has an effect once, however often the request of ctx arrives, see Options.Request.
func (e *Engine) once(ctx context.Context, acquire func(context.Context, string) (*live.Run, error), id string, f func(s *core.State, now int64) ([]flawless.Entry, error)) (flawless.Run, error) {
	return e.changeWith(ctx, acquire, id, func(s *core.State, now int64) ([]flawless.Entry, error) {
		return s.Once(e.request(ctx), func() ([]flawless.Entry, error) { return f(s, now) })
	})
}

func (e *Engine) changeWith(ctx context.Context, acquire func(context.Context, string) (*live.Run, error), id string, f func(s *core.State, now int64) ([]flawless.Entry, error)) (flawless.Run, error) {
	if err := flawless.CheckID(id); err != nil {
		return flawless.Run{}, err
	}
	r, err := acquire(ctx, id)
	if err != nil {
		return flawless.Run{}, err
	}
	defer r.Release()
	return r.Change(ctx, f)
}
