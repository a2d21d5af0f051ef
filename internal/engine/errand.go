package engine

import (
	"context"
	"errors"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/core"
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/live"
)

// handler is an Engine as the runs in memory see it.
type handler Engine

// Errand begins to carry out a call within the engine. The answer may come later, from another goroutine.
func (h *handler) Errand(r *live.Run, c *core.OpenCall) {
	e := (*Engine)(h)
	if e.errands.Asks(r.ID(), c.N) {
		if !r.Ended() {
			return
		}
		e.errands.Stop(r.ID(), c.N)
	}
	if err := e.errand(r, c); err != nil {
		e.fail(r, *c, err)
	}
}

// Ended answers the calls that wait for the end of a run.
func (h *handler) Ended(run flawless.Run) {
	for _, w := range h.ends.Take(run.ID) {
		w.Run.Answer(w.Call, effect.EndAnswer(run))
		w.Run.Release()
	}
}

// Rests breaks a deadlock if the run is part of one.
func (h *handler) Rests(run string) { (*Engine)(h).breakDeadlock(run) }

// Left tells the owners of states that a run has ended.
func (h *handler) Left(r *live.Run, states []string) {
	for _, name := range states {
		h.states.Left(r, name)
	}
}

func (e *Engine) errand(r *live.Run, c *core.OpenCall) error {
	switch c.Kind {
	case effect.Spawn:
		return e.spawn(r, c)
	case effect.Await:
		return e.awaitEnd(r, c)
	case effect.Send:
		return e.send(r, c)
	case effect.State:
		return e.states.Perform(r, c)
	}
	panic("engine: there are no errands of kind " + c.Kind)
}

// fail tells the guest why an errand cannot be carried out. What a server that stops has not done, the next owner of the
// run begins again. That another server owns the target is no answer either.
func (e *Engine) fail(r *live.Run, c core.OpenCall, err error) {
	if !e.life.Over() && !errors.Is(err, flawless.Stopping) && !errors.Is(err, flawless.Elsewhere) {
		r.Answer(c.N, effect.ErrorAnswer(c.N, errandKind(err), err.Error()))
	}
}

// told answers a call with the result of an errand, or with why the owner of its target has refused it. It returns an error
// that is not the owner's own word.
func (e *Engine) told(ctx context.Context, r *live.Run, c core.OpenCall, a flawless.Answer, err error) error {
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	switch flawless.CodeOf(err) {
	case flawless.Elsewhere, flawless.Stopping, flawless.Fenced:
		return err
	}
	if err != nil {
		e.fail(r, c, err)
		return nil
	}
	r.Answer(c.N, a)
	return nil
}

// errandKind returns the word that a guest is given for an error.
func errandKind(err error) string {
	switch flawless.CodeOf(err) {
	case flawless.NotFound:
		return "not_found"
	case flawless.Conflict:
		return "conflict"
	case flawless.Invalid, flawless.TooLarge:
		return "invalid"
	case flawless.Damaged:
		return "damaged"
	}
	return "failed"
}
