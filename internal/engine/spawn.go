package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/core"
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/errand"
	"github.com/flawless-engine/flawless/internal/live"
	"github.com/flawless-engine/flawless/internal/statelock"
	"github.com/flawless-engine/flawless/internal/store"
)

// resolveID maps an id used by a guest to the run it denotes. A fork's guest may still use ids from its origin: the id of
// the origin denotes the fork, and that of a child of the origin denotes the fork's own child, if it has one.
func (e *Engine) resolveID(r *live.Run, id string) string {
	var names []string
	r.View(func(s *core.State) {
		names = slices.Clone(s.FormerIDs())
		if s.Self().Run != r.ID() {
			names = append(names, s.Self().Run)
		}
	})
	for _, name := range names {
		rest, ok := strings.CutPrefix(id, name)
		switch {
		case !ok:
		case rest == "":
			return r.ID()
		case rest[0] == '.' && e.exists(r.ID()+rest):
			return r.ID() + rest
		}
	}
	return id
}

func (e *Engine) exists(id string) bool {
	if inMemory, _ := e.runs.InMemory(id); inMemory {
		return true
	}
	_, err := e.store.Head(e.life.Calls, id)
	return err == nil
}

// spawn starts the child of a call, unless it exists, and cancels it if its parent gives up. It answers the call when a
// detached child was started, and when any other child has ended.
func (e *Engine) spawn(r *live.Run, c *core.OpenCall) error {
	h, err := effect.ParseSpawn(c.Call)
	if err != nil {
		return err
	}
	var parent flawless.Start
	var status flawless.Status
	var cancel *flawless.Cancel
	var held *flawless.Pause
	r.View(func(s *core.State) {
		parent, status, cancel, held = s.Start(), s.Outcome(), s.CancelRequest(), s.Held()
	})
	switch {
	case c.Child() != "" && (h.Detached || status != ""):
		r.Answer(c.N, effect.StartedAnswer(c.Child()))
		return nil
	case c.Child() != "":
		return e.awaitRun(r, c.N, c.Child())
	}
	o := Start{Module: cmp.Or(h.Module, parent.Module), Workflow: h.Workflow, Input: []byte(c.Body), ID: core.ChildID(r.ID(), c.N), parent: r.ID(), call: c.N, held: held}
	if h.Module == "" || h.Module == parent.Module && !e.library.Has(e.life.Calls, h.Module) {
		o.digest = parent.Digest
	}
	if err := flawless.CheckID(o.ID); err != nil {
		return fmt.Errorf("spawning %s/%s: runs are nested too deeply: %w", o.Module, o.Workflow, err)
	}
	waits := !h.Detached && status == ""
	givesUp := status == flawless.Terminated || !h.Shielded && (cancel != nil || status == flawless.Cancelled)
	if waits {
		e.ends.Add(o.ID, r, c.N)
	}
	begun, err := e.beginChild(&o)
	if err != nil {
		e.ends.Remove(o.ID, r, c.N)
		return err
	}
	r.Retain()
	e.tasks.Go(func() {
		defer r.Release()
		child, err := e.awaitStart(r, begun, o)
		if err == nil && !h.Detached && !child.Status.Ended() && givesUp {
			why := flawless.Cancel{Who: "its parent", Note: fmt.Sprintf("run %s was cancelled", r.ID())}
			if _, err = e.Cancel(e.life.Calls, o.ID, why); errors.Is(err, flawless.Conflict) {
				err = nil
			}
		}
		switch {
		case err != nil:
			e.ends.Remove(o.ID, r, c.N)
			e.fail(r, *c, err)
		case child.Status.Ended() && !h.Detached:
			e.ends.Remove(o.ID, r, c.N)
			r.Answer(c.N, effect.EndAnswer(child))
		case !waits:
			r.Answer(c.N, effect.StartedAnswer(o.ID))
		}
	})
	return nil
}

// beginChild begins a child, in the order in which its parent spawns, so that a message to it finds it. It returns nil if
// the child exists.
func (e *Engine) beginChild(o *Start) (begun *live.Run, err error) {
	if h, err := e.store.Head(e.life.Calls, o.ID); !errors.Is(err, flawless.NotFound) {
		if err == nil && h.Run.Digest == "" && !h.Run.Status.Ended() { // the database has lost it, and the id may become free
			err = fmt.Errorf("somebody has to decide about the calls of the lost run %s first: %w", o.ID, flawless.Elsewhere)
		}
		return nil, err
	}
	err = e.life.WhenSpace(func() (err error) {
		begun, err = e.begin(e.life.Calls, o)
		return err
	})
	return begun, err
}

// awaitStart returns a child when it is durable.
func (e *Engine) awaitStart(r, begun *live.Run, o Start) (child flawless.Run, err error) {
	for {
		if begun == nil {
			child, err = e.runs.Summary(e.life.Calls, o.ID)
		} else {
			child, _, err = e.accepted(e.life.Calls, begun, o)
		}
		if !errors.Is(err, store.ErrStale) {
			break
		}
		if err = e.stale(e.life.Calls, o.ID); err == nil {
			begun, err = e.beginChild(&o)
		}
		if err != nil {
			return child, err
		}
	}
	if err == nil && child.Parent != r.ID() {
		err = fmt.Errorf("spawning %s/%s: there is a run %s that is not a child of %s: %w", o.Module, o.Workflow, o.ID, r.ID(), flawless.Conflict)
	}
	return child, err
}

// awaitEnd answers an await when the run has ended.
func (e *Engine) awaitEnd(r *live.Run, c *core.OpenCall) error {
	h, err := effect.ParseAwait(c.Call)
	if err != nil {
		return err
	}
	if r.Ended() {
		r.Answer(c.N, effect.ErrorAnswer(c.N, "ended", "the run that waited has ended"))
		return nil
	}
	return e.awaitRun(r, c.N, e.resolveID(r, h.Run))
}

// awaitRun answers a call when a run has ended.
func (e *Engine) awaitRun(r *live.Run, call int, id string) error {
	if errors.Is(e.runs.Owns(id), flawless.Elsewhere) {
		e.askEnd(r, call, id)
		return nil
	}
	e.ends.Add(id, r, call)
	other, err := e.Run(e.life.Calls, id)
	switch {
	case err != nil:
		e.ends.Remove(id, r, call)
		return e.awaiting(e.life.Calls, id, err)
	case other.Status.Ended():
		e.ends.Remove(id, r, call)
		r.Answer(call, effect.EndAnswer(other))
	default:
		if err := e.runs.Owns(id); err != nil { // nobody would tell us of its end
			e.ends.Remove(id, r, call)
			e.askEnd(r, call, id)
		}
	}
	return nil
}

// awaiting explains why there is no run to wait for.
func (e *Engine) awaiting(ctx context.Context, id string, err error) error {
	if _, gone := e.store.Gone(ctx, id); errors.Is(err, flawless.NotFound) && gone == nil {
		return fmt.Errorf("awaiting run %s: the run has ended and has been removed (module set --retention), so its result is no longer known: %w", id, flawless.NotFound)
	}
	return err
}

// askEnd asks the engine that owns a run until the run has ended. Its end is read from the store, which has it before anybody
// is told.
func (e *Engine) askEnd(r *live.Run, call int, id string) {
	e.errands.Ask(r, call, statelock.Target{Run: id}, func(ctx context.Context) error {
		c, open := r.Errand(call)
		if !open || r.Ended() {
			return nil
		}
		if e.runs.Owns(id) == nil {
			return errand.ErrHere
		}
		h, err := e.store.Head(ctx, id)
		if err != nil {
			return e.told(ctx, r, c, flawless.Answer{}, e.awaiting(ctx, id, err))
		}
		if h.Run.Status.Ended() {
			other, err := e.Run(ctx, id)
			return e.told(ctx, r, c, effect.EndAnswer(other), err)
		}
		if err := e.followed.AskEnd(ctx, id); err != nil {
			return e.told(ctx, r, c, flawless.Answer{}, err)
		}
		return errand.ErrWaits // or it has ended by now
	})
}
