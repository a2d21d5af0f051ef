package live

import (
	"context"
	"slices"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/core"
	"github.com/flawless-engine/flawless/internal/effect"
)

// errands are calls of a run that the engine carries out within itself: on another run, or on a state that runs share.
// They begin when the turn that made them is durable, one after another, and may be begun again after a crash: their
// target knows what it has taken in already. A run with open errands stays in memory, and is looked at after a restart.
//
// Guarded by mu.
type errands struct {
	todo     []int // calls, in order
	carrying bool  // somebody carries them out
	unlock   bool  // the run has ended: what it holds of shared states is released behind them
}

// carry has errands carried out. If the run has ended, what it holds of shared states is released behind them: the last
// errand may change it.
func (r *Run) carry(calls []int, ended bool) {
	if len(calls) == 0 && !ended {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.todo = append(r.todo, calls...)
	r.unlock = r.unlock || ended
	r.carryLocked()
}

// carryLocked has the errands in todo carried out. The caller holds mu.
func (r *Run) carryLocked() {
	if r.carrying {
		return
	}
	if len(r.todo) == 0 && len(r.reg.o.Graph.StatesOf(r.id)) == 0 { // most runs hold nothing
		r.unlock = false
		return
	}
	r.carrying = true
	r.Retain()
	r.part.tasks.Go(func() {
		defer r.Release()
		r.carryOut()
	})
}

// Redo begins an errand again whose target has moved from or to another server before it had taken effect for certain.
func (r *Run) Redo(call int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.todo = inserted(r.todo, call)
	r.carryLocked()
}

// inserted returns the calls with one more, in order.
func inserted(calls []int, call int) []int {
	at, found := slices.BinarySearch(calls, call)
	if found {
		return calls
	}
	return slices.Insert(calls, at, call)
}

// Go runs f in a goroutine for which the run is retained. ctx ends when the run takes no more turns here: the server stops,
// or the shard goes to another one, which waits for f.
func (r *Run) Go(f func(ctx context.Context)) {
	r.Retain()
	r.part.tasks.Go(func() {
		defer r.Release()
		f(r.part.life.Turns)
	})
}

// Errand returns an errand of the run, or false if it has an answer.
func (r *Run) Errand(call int) (c core.OpenCall, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if open := r.s.Errand(call); open != nil {
		return *open, true
	}
	return c, false
}

func (r *Run) carryOut() {
	g := r.reg
	for {
		r.mu.Lock()
		over := r.part.life.Over()
		if len(r.todo) == 0 && r.unlock && !over {
			r.unlock = false
			r.mu.Unlock()
			if elsewhere := g.o.Locks.Release(r.id); len(elsewhere) > 0 {
				g.o.Handler.Left(r, elsewhere)
			}
			continue
		}
		if len(r.todo) == 0 || over {
			r.carrying = false
			r.mu.Unlock()
			r.rests()
			return
		}
		n := r.todo[0]
		r.todo = r.todo[1:]
		open := r.s.Errand(n)
		if open == nil {
			r.mu.Unlock()
			continue
		}
		c := *open
		r.mu.Unlock()
		g.o.Handler.Errand(r, &c)
	}
}

// carryFrom carries out the errands that follow from entries which are durable, and tells the handler of an end.
func (r *Run) carryFrom(batch []pending) {
	var todo []int
	var summary *flawless.Run
	for _, p := range batch {
		ended := false
		switch {
		case p.entry.Turn != nil:
			if ended = p.entry.Turn.Ended != nil; !ended && slices.ContainsFunc(p.entry.Turn.Calls, r.reg.isErrand) {
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
		if ended && summary == nil {
			r.mu.Lock()
			todo = append(todo, r.s.Errands("")...)
			a := r.s.Summary()
			summary = &a
			r.mu.Unlock()
		}
	}
	r.carry(todo, summary != nil)
	if summary != nil {
		r.reg.o.Handler.Ended(*summary)
	}
}

func (g *Registry) isErrand(c flawless.Call) bool {
	k := g.o.Kinds[c.Kind]
	return k != nil && k.Errand
}
