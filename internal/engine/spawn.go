package engine

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/core"
	"github.com/flawless-engine/flawless/internal/effect"
)

// meant is the run that a guest means by an id. In its past the guest of a fork was told other ids:
// they are itself, and their children are its own where it has such a child.
func (e *Engine) meant(r *run, id string) string {
	r.mu.Lock()
	names := slices.Clone(r.s.FormerIDs())
	if r.s.Self().Run != r.id {
		names = append(names, r.s.Self().Run)
	}
	r.mu.Unlock()
	for _, name := range names {
		rest, ok := strings.CutPrefix(id, name)
		switch {
		case !ok:
		case rest == "":
			return r.id
		case rest[0] == '.' && e.exists(r.id+rest):
			return r.id + rest
		}
	}
	return id
}

func (e *Engine) exists(id string) bool {
	e.mu.Lock()
	here := e.runs[id] != nil
	e.mu.Unlock()
	if !here {
		_, err := e.store.Head(e.performCtx, id)
		here = err == nil
	}
	return here
}

// spawn sees to it that the child of a call exists and, where its parent gives up, that it is told
// so. It answers when the child was started, where it is detached, else when it has ended.
func (e *Engine) spawn(r *run, c *core.OpenCall) error {
	h, err := effect.ParseSpawn(c.Call)
	if err != nil {
		return err
	}
	r.mu.Lock()
	parent, status, cancel, held := r.s.Start(), r.s.Outcome(), r.s.CancelRequest(), r.s.Held()
	r.mu.Unlock()
	switch {
	case c.Child() != "" && (h.Detached || status != ""):
		e.answer(r, c.N, effect.StartedAnswer(c.Child()))
		return nil
	case c.Child() != "":
		return e.awaitRun(r, c.N, c.Child())
	}
	o := Start{Module: cmp.Or(h.Module, parent.Module), Workflow: h.Workflow, Input: []byte(c.Body), ID: core.ChildID(r.id, c.N), parent: r.id, call: c.N, held: held}
	if h.Module == "" || h.Module == parent.Module && !e.library.Has(e.performCtx, h.Module) {
		o.digest = parent.Digest
	}
	if err := flawless.CheckID(o.ID); err != nil {
		return fmt.Errorf("spawning %s/%s: runs are nested too deeply: %w", o.Module, o.Workflow, err)
	}
	waits := !h.Detached && status == ""
	givesUp := status == flawless.Terminated || !h.Shielded && (cancel != nil || status == flawless.Cancelled)
	if waits {
		e.ends.add(o.ID, r, c.N)
	}
	begun, err := e.beginChild(&o)
	if err != nil {
		e.ends.remove(o.ID, r, c.N)
		return err
	}
	e.hold(r)
	e.tasks.Go(func() {
		defer e.release(r)
		child, err := e.bringUp(r, begun, o)
		if err == nil && !h.Detached && !child.Status.Ended() && givesUp {
			why := flawless.Cancel{Who: "its parent", Note: fmt.Sprintf("run %s was cancelled", r.id)}
			if _, err = e.Cancel(e.performCtx, o.ID, why); errors.Is(err, flawless.Conflict) {
				err = nil
			}
		}
		switch {
		case err != nil:
			e.ends.remove(o.ID, r, c.N)
			e.fail(r, c, err)
		case child.Status.Ended() && !h.Detached:
			e.ends.remove(o.ID, r, c.N)
			e.answer(r, c.N, effect.EndAnswer(child))
		case !waits:
			e.answer(r, c.N, effect.StartedAnswer(o.ID))
		}
	})
	return nil
}

// beginChild begins a child, in the order in which its parent asks, so that a message to it finds it.
// It returns nil where there is one already.
func (e *Engine) beginChild(o *Start) (begun *run, err error) {
	if _, err := e.store.Head(e.performCtx, o.ID); !errors.Is(err, flawless.NotFound) {
		return nil, err
	}
	err = e.whenSpace(func() (err error) {
		begun, err = e.begin(e.performCtx, o)
		return err
	})
	return begun, err
}

// bringUp returns a child when it is durable.
func (e *Engine) bringUp(r, begun *run, o Start) (child flawless.Run, err error) {
	if begun == nil {
		child, err = e.Run(e.performCtx, o.ID)
	} else {
		child, _, err = e.accepted(e.performCtx, begun, o)
	}
	if err == nil && child.Parent != r.id {
		err = fmt.Errorf("spawning %s/%s: there is a run %s that is not a child of %s: %w", o.Module, o.Workflow, o.ID, r.id, flawless.Conflict)
	}
	return child, err
}

// awaitEnd answers when a run has ended.
func (e *Engine) awaitEnd(r *run, c *core.OpenCall) error {
	h, err := effect.ParseAwait(c.Call)
	if err != nil {
		return err
	}
	r.mu.Lock()
	over := r.s.Outcome() != ""
	r.mu.Unlock()
	if over {
		e.answer(r, c.N, effect.ErrorAnswer(c.N, "ended", "the run that waited has ended"))
		return nil
	}
	return e.awaitRun(r, c.N, e.meant(r, h.Run))
}

// awaitRun answers a call when a run has ended.
func (e *Engine) awaitRun(r *run, call int, id string) error {
	e.ends.add(id, r, call)
	other, err := e.Run(e.performCtx, id)
	switch {
	case err != nil:
		e.ends.remove(id, r, call)
		if _, gone := e.store.Gone(e.performCtx, id); errors.Is(err, flawless.NotFound) && gone == nil {
			err = fmt.Errorf("awaiting run %s: it has ended and was removed since, as its module says (--retention); how it ended is not known any more: %w", id, flawless.NotFound)
		}
		return err
	case other.Status.Ended():
		e.ends.remove(id, r, call)
		e.answer(r, call, effect.EndAnswer(other))
	}
	return nil
}

// tellEnd answers the calls that wait for the end of a run.
func (e *Engine) tellEnd(account flawless.Run) {
	for _, w := range e.ends.take(account.ID) {
		e.answer(w.run, w.call, effect.EndAnswer(account))
		e.release(w.run)
	}
}
