package engine

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/store"
)

// shared are the states that runs share. Who holds one is in the store; who waits for one is found
// again after a restart among the open errands, and stands in the queue where it stood: by the time of
// the turn that asked.
type shared struct {
	mu    sync.Mutex
	cells map[string]*cell // that somebody holds, waits for, or uses now
}

// cell is one state in memory. Lock order: cell, then shared.
type cell struct {
	name  string
	refs  int // under shared.mu
	mu    sync.Mutex
	known bool // st is as the store has it
	st    store.State
	queue []wish
}

// wish is a call that waits for a state. Its run is held while it is in a queue.
type wish struct {
	run  *run
	call int
	at   int64 // of the turn that asked
}

// use returns a state, locked, as the store has it. Done gives it back.
func (s *shared) use(e *Engine, name string) (*cell, error) {
	s.mu.Lock()
	if s.cells == nil {
		s.cells = map[string]*cell{}
	}
	c := s.cells[name]
	if c == nil {
		c = &cell{name: name}
		s.cells[name] = c
	}
	c.refs++
	s.mu.Unlock()
	c.mu.Lock()
	if !c.known {
		st, err := e.store.State(e.performCtx, name)
		if err != nil {
			s.done(c)
			return nil, err
		}
		c.st, c.known = st, true
		e.graph.holds(c.name, st.Holder)
	}
	return c, nil
}

func (s *shared) done(c *cell) {
	idle := c.st.Holder == nil && len(c.queue) == 0
	c.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.refs--; c.refs == 0 && idle {
		delete(s.cells, c.name)
	}
}

// share carries out a `state` call.
func (e *Engine) share(r *run, call *call) error {
	h, err := effect.ParseState(call.Call)
	if err != nil {
		return err
	}
	c, err := e.shared.use(e, h.Name)
	if err != nil {
		return err
	}
	defer e.shared.done(c)
	r.mu.Lock()
	over := r.s.status != ""
	r.mu.Unlock()
	mine := flawless.Claim{Run: r.id, Call: cmp.Or(h.Lock, call.N)}
	switch h.Op {
	case effect.StateGet:
		e.answer(r, call.N, effect.ValueAnswer(c.st.Value))
	case effect.StateLock:
		if over {
			e.answer(r, call.N, effect.ErrorAnswer(call.N, "ended", "the run that waited has ended"))
			return nil
		}
		return e.lock(r, call, c, mine)
	case effect.StatePut, effect.StateUnlock:
		if h.Op == effect.StatePut && (c.st.Holder == nil || *c.st.Holder != mine) {
			told, foreign, err := e.inherited(r, h.Lock)
			if err != nil {
				return err
			}
			if foreign {
				return e.putUnheld(r, call, c, told)
			}
		}
		err := e.unlock(c, mine, func(st *store.State) {
			if h.Op == effect.StatePut {
				st.Value = call.Body
			}
		})
		if err != nil {
			return err
		}
		e.answer(r, call.N, effect.ValueAnswer(nil))
	}
	return nil
}

// lock gives a state to a run, or puts it into the queue. The caller has the cell locked.
func (e *Engine) lock(r *run, call *call, c *cell, mine flawless.Claim) error {
	if holder := c.st.Holder; holder != nil && *holder != mine && e.gone(*holder) {
		if c.st.Holder = nil; len(c.queue) > 0 {
			if err := e.pass(c, store.State{Value: c.st.Value}); err != nil {
				return err
			}
		}
	}
	switch {
	case c.st.Holder != nil && *c.st.Holder == mine: // it has been given before
	case c.st.Holder == nil && len(c.queue) == 0:
		if err := e.putState(c, store.State{Value: c.st.Value, Holder: &mine}); err != nil {
			return err
		}
	default:
		if slices.ContainsFunc(c.queue, func(w wish) bool { return w.run == r && w.call == call.N }) {
			return nil
		}
		e.graph.wait(r.id, call.N, target{state: c.name})
		e.hold(r)
		c.queue = append(c.queue, wish{r, call.N, call.madeAt})
		slices.SortStableFunc(c.queue, func(a, b wish) int { return cmp.Compare(a.at, b.at) })
		return nil
	}
	e.answer(r, call.N, effect.ValueAnswer(c.st.Value))
	return nil
}

// putUnheld changes a state that the run does not hold, if nobody does and it still has the value that
// the run was told.
func (e *Engine) putUnheld(r *run, call *call, c *cell, told []byte) error {
	switch {
	case bytes.Equal(c.st.Value, call.Body): // also when it was done before a crash
	case c.st.Holder != nil && !e.gone(*c.st.Holder):
		return fmt.Errorf("changing state %q: a run whose past this one shares held it, and run %s holds it now; nothing was changed, ask for it again: %w", c.name, c.st.Holder.Run, flawless.Conflict)
	case !bytes.Equal(c.st.Value, told):
		return fmt.Errorf("changing state %q: a run whose past this one shares held it, and it was changed since; nothing was changed, ask for it again: %w", c.name, flawless.Conflict)
	default:
		if err := e.pass(c, store.State{Value: call.Body}); err != nil {
			return err
		}
	}
	e.answer(r, call.N, effect.ValueAnswer(nil))
	return nil
}

// unlock ends a hold, or a wish. A hold that has ended already is left so.
func (e *Engine) unlock(c *cell, mine flawless.Claim, change func(*store.State)) error {
	if i := slices.IndexFunc(c.queue, func(w wish) bool { return w.run.id == mine.Run && w.call == mine.Call }); i >= 0 {
		w := c.queue[i]
		c.queue = slices.Delete(c.queue, i, i+1)
		e.answer(w.run, w.call, effect.ErrorAnswer(w.call, "withdrawn", "the run has stopped waiting for the state"))
		e.leave(c, w)
		return nil
	}
	if c.st.Holder == nil || *c.st.Holder != mine {
		return nil
	}
	next := store.State{Value: c.st.Value}
	change(&next)
	return e.pass(c, next)
}

// pass gives a state to the first in its queue that still waits, or to nobody.
func (e *Engine) pass(c *cell, st store.State) error {
	var to *wish
	for to == nil && len(c.queue) > 0 {
		w := c.queue[0]
		w.run.mu.Lock()
		waits := w.run.s.call(w.call) != nil && w.run.s.status == ""
		w.run.mu.Unlock()
		if waits {
			to = &w
			break
		}
		c.queue = c.queue[1:]
		e.leave(c, w)
	}
	if to != nil {
		st.Holder = &flawless.Claim{Run: to.run.id, Call: to.call}
	}
	if err := e.putState(c, st); err != nil {
		return err
	}
	if to != nil {
		c.queue = c.queue[1:]
		e.answer(to.run, to.call, effect.ValueAnswer(st.Value))
		e.leave(c, *to)
	}
	return nil
}

// leave is called when a wish is out of the queue.
func (e *Engine) leave(c *cell, w wish) {
	e.graph.unwait(w.run.id, w.call)
	e.release(w.run)
}

func (e *Engine) putState(c *cell, st store.State) error {
	err := e.whenSpace(func() error { return e.store.PutState(context.Background(), e.lease, c.name, st) })
	if err != nil {
		c.known = false
		if !errors.Is(err, flawless.Stopping) && !errors.Is(err, flawless.TooLarge) {
			e.broken(err)
		}
		return err
	}
	c.st = st
	e.graph.holds(c.name, st.Holder)
	return nil
}

// gone tells whether a holder's run has ended, and with it the hold.
func (e *Engine) gone(holder flawless.Claim) bool {
	h, err := e.store.Head(e.performCtx, holder.Run)
	if err != nil || !h.Run.Status.Ended() {
		return errors.Is(err, flawless.NotFound)
	}
	if !h.Active {
		return true
	}
	r, err := e.acquire(e.performCtx, holder.Run)
	if err != nil {
		return false
	}
	defer e.release(r)
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.s.changesState(holder.Call) // one that changes the state is carried out still, and ends the hold
}

// release ends all holds and wishes of a run that has ended.
func (s *shared) release(e *Engine, id string) {
	for _, name := range e.graph.of(id) {
		c, err := s.use(e, name)
		if err != nil {
			continue // whoever wants it next finds that its holder is gone
		}
		c.queue = slices.DeleteFunc(c.queue, func(w wish) bool {
			if w.run.id == id {
				e.leave(c, w)
			}
			return w.run.id == id
		})
		if c.st.Holder != nil && c.st.Holder.Run == id {
			if err := e.pass(c, store.State{Value: c.st.Value}); err != nil && !e.dead.Load() {
				e.log.Warn("a state that a run held could not be released", "state", name, "run", id, "error", err)
			}
		}
		s.done(c)
	}
}

// State returns a state with who holds it and who waits for it, or flawless.NotFound.
func (e *Engine) State(ctx context.Context, name string) (flawless.State, error) {
	e.shared.mu.Lock()
	c := e.shared.cells[name]
	e.shared.mu.Unlock()
	st, err := e.store.State(ctx, name)
	if err != nil {
		return flawless.State{}, err
	}
	out := flawless.State{Name: name, Value: st.Value, Holder: st.Holder}
	if c != nil {
		c.mu.Lock()
		for _, w := range c.queue {
			out.Queue = append(out.Queue, flawless.Claim{Run: w.run.id, Call: w.call})
		}
		c.mu.Unlock()
	}
	if out.Value == nil && out.Holder == nil && out.Queue == nil {
		return out, fmt.Errorf("there is no state %q: %w", name, flawless.NotFound)
	}
	return out, nil
}

// States returns at most limit states in order of their names, from one on; next is where the page
// after it begins, "" at the end.
func (e *Engine) States(ctx context.Context, from string, limit int) (page []flawless.State, next string, err error) {
	page = []flawless.State{}
	for name, err := range e.store.States(ctx, from) {
		if err != nil {
			return page, "", err
		}
		if len(page) == limit {
			return page, name, nil
		}
		st, err := e.State(ctx, name)
		if errors.Is(err, flawless.NotFound) {
			continue // it was given up meanwhile
		}
		if err != nil {
			return page, "", err
		}
		page = append(page, st)
	}
	return page, "", nil
}
