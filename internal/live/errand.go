package live

import (
	"slices"

	"github.com/flawless-engine/flawless"
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
	r.todo = append(r.todo, calls...)
	r.unlock = r.unlock || ended
	begin := !r.carrying
	if begin && len(r.todo) == 0 && len(r.reg.o.Graph.StatesOf(r.id)) == 0 { // most runs hold nothing
		begin, r.unlock = false, false
	}
	r.carrying = r.carrying || begin
	r.mu.Unlock()
	if begin {
		r.Retain()
		r.reg.o.Tasks.Go(func() {
			defer r.Release()
			r.carryOut()
		})
	}
}

func (r *Run) carryOut() {
	g := r.reg
	for {
		r.mu.Lock()
		over := g.o.Lifecycle.Over()
		if len(r.todo) == 0 && r.unlock && !over {
			r.unlock = false
			r.mu.Unlock()
			g.o.Locks.Release(r.id)
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
