package engine

import (
	"errors"
	"slices"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/core"
	"github.com/flawless-engine/flawless/internal/effect"
)

// Errands are calls that the engine carries out within itself: on another run, or on a state that
// runs share. They begin when the turn that made them is durable, one after another for each run,
// and may be begun again after a crash: whoever is their target knows what it has taken in already.
// A run with open errands stays in memory, and is looked at after a restart.

// carry has errands of a run carried out. Where the run has ended, what it holds is released behind
// them: the last one may change it. The run is acquired.
func (e *Engine) carry(r *run, calls []int, ended bool) {
	if len(calls) == 0 && !ended {
		return
	}
	r.mu.Lock()
	r.errands = append(r.errands, calls...)
	r.parts = r.parts || ended
	begin := !r.carrying
	if begin && len(r.errands) == 0 && len(e.graph.StatesOf(r.id)) == 0 { // most runs hold nothing
		begin, r.parts = false, false
	}
	r.carrying = r.carrying || begin
	r.mu.Unlock()
	if begin {
		e.hold(r)
		e.tasks.Go(func() {
			defer e.release(r)
			e.carryOut(r)
		})
	}
}

func (e *Engine) carryOut(r *run) {
	for {
		r.mu.Lock()
		if len(r.errands) == 0 && r.parts && !e.dead.Load() {
			r.parts = false
			r.mu.Unlock()
			e.locks.Release(r.id)
			continue
		}
		if len(r.errands) == 0 || e.dead.Load() {
			r.carrying = false
			r.mu.Unlock()
			e.breakDeadlock(r.id)
			return
		}
		n := r.errands[0]
		r.errands = r.errands[1:]
		open := r.s.Errand(n)
		if open == nil {
			r.mu.Unlock()
			continue
		}
		c := *open
		r.mu.Unlock()
		if err := e.errand(r, &c); err != nil {
			e.fail(r, &c, err)
		}
	}
}

// errand carries out one. What it answers later it leaves to whoever makes the answer known.
func (e *Engine) errand(r *run, c *core.OpenCall) error {
	switch c.Kind {
	case effect.Spawn:
		return e.spawn(r, c)
	case effect.Await:
		return e.awaitEnd(r, c)
	case effect.Send:
		return e.send(r, c)
	case effect.State:
		return e.locks.Perform(r, c.Call, c.MadeAt())
	}
	panic("engine: nobody carries out errands of kind " + c.Kind)
}

// fail tells the guest why an errand cannot be carried out. What a server that stops has not done is
// begun again by the next owner.
func (e *Engine) fail(r *run, c *core.OpenCall, err error) {
	if !e.dead.Load() && !errors.Is(err, flawless.Stopping) {
		e.answer(r, c.N, effect.ErrorAnswer(c.N, errandKind(err), err.Error()))
	}
}

// errandKind is the word a guest is told for an error.
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

// answer answers a call of a run that is acquired. It returns false where that has been done before, or
// nothing is done any more.
func (e *Engine) answer(r *run, n int, a flawless.Answer) bool {
	a.Call = n
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.s.Call(n) == nil || e.dead.Load() {
		return false
	}
	r.append(r.s.AnswerEntry(a, "", e.now()))
	r.wakeLocked()
	return true
}

// after is called when entries of a run are durable, and does what follows from them elsewhere. The
// run is acquired.
func (e *Engine) after(r *run, batch []pending) {
	var todo []int
	var account *flawless.Run
	for _, p := range batch {
		ended := false
		switch {
		case p.entry.Turn != nil:
			if ended = p.entry.Turn.Ended != nil; !ended && slices.ContainsFunc(p.entry.Turn.Calls, e.isErrand) {
				r.mu.Lock()
				for _, made := range p.entry.Turn.Calls {
					if r.s.Errand(made.N) != nil {
						todo = append(todo, made.N)
					}
				}
				r.mu.Unlock()
			}
		case p.entry.Decision != nil && p.entry.Decision.Resolution == flawless.Retry:
			r.mu.Lock()
			if r.s.Errand(p.entry.Decision.Call) != nil {
				todo = append(todo, p.entry.Decision.Call)
			}
			r.mu.Unlock()
		case p.entry.Cancel != nil:
			r.mu.Lock()
			todo = append(todo, r.s.Errands(effect.Spawn)...)
			r.mu.Unlock()
		case p.entry.End != nil:
			ended = true
		}
		if ended && account == nil {
			r.mu.Lock()
			todo = append(todo, r.s.Errands("")...)
			a := r.s.Account()
			account = &a
			r.mu.Unlock()
		}
	}
	e.carry(r, todo, account != nil)
	if account != nil {
		e.tellEnd(*account)
	}
}

func (e *Engine) isErrand(c flawless.Call) bool {
	k := e.kinds[c.Kind]
	return k != nil && k.Errand
}
