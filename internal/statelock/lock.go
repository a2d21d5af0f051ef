package statelock

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"sync"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/store"
)

// Run is a run that uses shared states. It stays in memory from Retain to Release. It may stand for a run that another
// server has: then Answer and Redo are for whoever asks on its behalf, and Waits is true while somebody does.
type Run interface {
	ID() string
	// Answer answers an open call. It returns false if the call has an answer or the run no longer accepts any.
	Answer(call int, a flawless.Answer) bool
	// Waits reports whether the run is open and the call has no answer.
	Waits(call int) bool
	// Ended reports whether the run has ended.
	Ended() bool
	// Inherited returns the value that came with a lock if the lock is from the past that a fork shares with its
	// original.
	Inherited(lock int) (value []byte, found bool, err error)
	// Redo performs a call again whose state went to another server.
	Redo(call int)
	Retain()
	Release()
}

// Options configures Locks.
type Options struct {
	Graph *Graph
	// State and States read the store.
	State  func(ctx context.Context, name string) (store.State, error)
	States func(ctx context.Context, from string) iter.Seq2[string, error]
	// Owns returns nil if this server owns a state, else which one does.
	Owns func(name string) error
	// Put makes a state durable. After an error, what the store has is unknown.
	Put func(name string, st store.State) error
	// Gone reports whether the holder's run has ended, which also ends the hold.
	Gone func(holder flawless.Claim) bool
	// Context ends when the engine stops.
	Context func() context.Context
	Log     *slog.Logger
}

// Locks manages the shared states. The store knows the holders. After a restart the waiting calls are found among the
// open errands, and keep their positions in the queue, which follow from the time of the turn that asked. All methods
// may be called concurrently.
type Locks struct {
	o     Options
	mu    sync.Mutex
	cells map[string]*cell // states that are held, waited for, or in use
}

// New returns empty Locks.
func New(o Options) *Locks { return &Locks{o: o, cells: map[string]*cell{}} }

// cell is a state in memory. Lock order: cell, then Locks.
type cell struct {
	name  string
	refs  int // guarded by Locks.mu
	mu    sync.Mutex
	known bool // st is what the store has
	st    store.State
	queue []wish
}

// wish is a call that waits for a state. It retains its run while it is queued.
type wish struct {
	run  Run
	call int
	at   int64 // time of the turn that asked
}

// before reports whether a wish comes before one that was queued earlier. Those of one turn are in the order of its calls,
// in whichever order they arrive.
func (w wish) before(o wish) bool {
	return w.at < o.at || w.at == o.at && w.run.ID() == o.run.ID() && w.call < o.call
}

// queued returns the position of a call in the queue, or -1. The caller holds mu.
func (c *cell) queued(run string, call int) int {
	return slices.IndexFunc(c.queue, func(w wish) bool { return w.call == call && w.run.ID() == run })
}

// use returns a locked cell with the state as stored. Call done to release it.
func (l *Locks) use(name string) (*cell, error) {
	l.mu.Lock()
	c := l.cells[name]
	if c == nil {
		c = &cell{name: name}
		l.cells[name] = c
	}
	c.refs++
	l.mu.Unlock()
	c.mu.Lock()
	if err := l.o.Owns(name); err != nil {
		l.done(c)
		return nil, err
	}
	if !c.known {
		st, err := l.o.State(l.o.Context(), name)
		if err != nil {
			l.done(c)
			return nil, err
		}
		c.st, c.known = st, true
		l.o.Graph.Holds(c.name, st.Holder)
	}
	return c, nil
}

func (l *Locks) done(c *cell) {
	idle := c.st.Holder == nil && len(c.queue) == 0
	c.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.refs--; c.refs == 0 && idle {
		delete(l.cells, c.name)
	}
}

// Perform performs a `state` call that was made in a turn of the given time. It answers the call now, or when the state
// is free. It returns an error if it cannot perform the call.
func (l *Locks) Perform(r Run, call flawless.Call, at int64) error {
	h, err := effect.ParseState(call)
	if err != nil {
		return err
	}
	c, err := l.use(h.Name)
	if err != nil {
		return err
	}
	defer l.done(c)
	mine := flawless.Claim{Run: r.ID(), Call: cmp.Or(h.Lock, call.N)}
	switch h.Op {
	case effect.StateGet:
		r.Answer(call.N, effect.ValueAnswer(c.st.Value))
	case effect.StateLock:
		if r.Ended() {
			r.Answer(call.N, effect.ErrorAnswer(call.N, "ended", "the run that waited has ended"))
			return nil
		}
		if !r.Waits(call.N) { // it has stopped waiting, and would never unlock the state
			return nil
		}
		return l.lock(wish{r, call.N, at}, c, mine)
	case effect.StatePut, effect.StateUnlock:
		if h.Op == effect.StatePut && (c.st.Holder == nil || *c.st.Holder != mine) {
			told, foreign, err := r.Inherited(h.Lock)
			if err != nil {
				return err
			}
			if foreign {
				return l.putUnheld(r, call, c, told)
			}
		}
		if h.Op == effect.StateUnlock && (c.st.Holder == nil || *c.st.Holder != mine) && c.queued(mine.Run, mine.Call) < 0 {
			r.Answer(mine.Call, withdrawn(mine.Call)) // the lock may be on its way here, and must not come after
		}
		err := l.unlock(c, mine, func(st *store.State) {
			if h.Op == effect.StatePut {
				st.Value = call.Body
			}
		})
		if err != nil {
			return err
		}
		r.Answer(call.N, effect.ValueAnswer(nil))
	}
	return nil
}

// lock gives the state to a run, or queues the run. The caller has locked the cell.
func (l *Locks) lock(w wish, c *cell, mine flawless.Claim) error {
	if holder := c.st.Holder; holder != nil && *holder != mine && l.o.Gone(*holder) {
		if c.st.Holder = nil; len(c.queue) > 0 {
			if err := l.pass(c, store.State{Value: c.st.Value}); err != nil {
				return err
			}
		}
	}
	switch {
	case c.st.Holder != nil && *c.st.Holder == mine: // it already holds the state
	case c.st.Holder == nil && len(c.queue) == 0:
		if err := l.put(c, store.State{Value: c.st.Value, Holder: &mine}); err != nil {
			return err
		}
	default:
		w.run.Retain()
		if i := c.queued(w.run.ID(), w.call); i >= 0 { // the run may have moved from one server to another
			c.queue[i].run.Release()
			c.queue[i].run = w.run
			return nil
		}
		l.o.Graph.Wait(w.run.ID(), w.call, Target{State: c.name})
		i := slices.IndexFunc(c.queue, w.before)
		if i < 0 {
			i = len(c.queue)
		}
		c.queue = slices.Insert(c.queue, i, w)
		return nil
	}
	w.run.Answer(w.call, effect.ValueAnswer(c.st.Value))
	return nil
}

// putUnheld changes a state that the run does not hold, if nobody holds it and its value is still the one that the run
// was told.
func (l *Locks) putUnheld(r Run, call flawless.Call, c *cell, told []byte) error {
	switch {
	case bytes.Equal(c.st.Value, call.Body): // or it was done before a crash
	case c.st.Holder != nil && !l.o.Gone(*c.st.Holder):
		return fmt.Errorf("changing state %q: the run that this one was forked from held it, and run %s holds it now; nothing was changed, lock it again: %w", c.name, c.st.Holder.Run, flawless.Conflict)
	case !bytes.Equal(c.st.Value, told):
		return fmt.Errorf("changing state %q: the run that this one was forked from held it, and it has changed since; nothing was changed, lock it again: %w", c.name, flawless.Conflict)
	default:
		if err := l.pass(c, store.State{Value: call.Body}); err != nil {
			return err
		}
	}
	r.Answer(call.N, effect.ValueAnswer(nil))
	return nil
}

// unlock ends a hold or removes a wish. It ignores a hold that has ended.
func (l *Locks) unlock(c *cell, mine flawless.Claim, change func(*store.State)) error {
	if i := c.queued(mine.Run, mine.Call); i >= 0 {
		w := c.queue[i]
		c.queue = slices.Delete(c.queue, i, i+1)
		w.run.Answer(w.call, withdrawn(w.call))
		l.leave(w)
		return nil
	}
	if c.st.Holder == nil || *c.st.Holder != mine {
		return nil
	}
	next := store.State{Value: c.st.Value}
	change(&next)
	return l.pass(c, next)
}

// withdrawn is the answer to a lock call whose run has stopped waiting.
func withdrawn(call int) flawless.Answer {
	return effect.ErrorAnswer(call, "withdrawn", "the run has stopped waiting for the state")
}

// pass gives a state to the first queued call that still waits, or to nobody.
func (l *Locks) pass(c *cell, st store.State) error {
	var to *wish
	for to == nil && len(c.queue) > 0 {
		w := c.queue[0]
		if w.run.Waits(w.call) {
			to = &w
			break
		}
		c.queue = c.queue[1:]
		l.leave(w)
	}
	if to != nil {
		st.Holder = &flawless.Claim{Run: to.run.ID(), Call: to.call}
	}
	if err := l.put(c, st); err != nil {
		return err
	}
	if to != nil {
		c.queue = c.queue[1:]
		to.run.Answer(to.call, effect.ValueAnswer(st.Value))
		l.leave(*to)
	}
	return nil
}

// leave cleans up after a wish that left the queue.
func (l *Locks) leave(w wish) {
	l.o.Graph.Unwait(w.run.ID(), w.call)
	w.run.Release()
}

func (l *Locks) put(c *cell, st store.State) error {
	if err := l.o.Put(c.name, st); err != nil {
		c.known = false
		return err
	}
	c.st = st
	l.o.Graph.Holds(c.name, st.Holder)
	return nil
}

// Withdraw removes a call from the queue of a state after answer has answered it, and returns the result of answer.
func (l *Locks) Withdraw(state string, run Run, call int, answer func() bool) bool {
	c, err := l.use(state)
	if err != nil {
		return false
	}
	defer l.done(c)
	told := answer()
	if i := c.queued(run.ID(), call); i >= 0 {
		w := c.queue[i]
		c.queue = slices.Delete(c.queue, i, i+1)
		l.leave(w)
	}
	return told
}

// Release ends all holds and wishes of an ended run, and returns those of its states that other servers own. If a hold
// cannot be released now, the next call that wants the state finds that the holder is gone.
func (l *Locks) Release(run string) (elsewhere []string) {
	for _, name := range l.o.Graph.StatesOf(run) {
		switch err := l.ReleaseState(name, run); {
		case errors.Is(err, flawless.Elsewhere):
			elsewhere = append(elsewhere, name)
		case err != nil && l.o.Context().Err() == nil:
			l.o.Log.Warn("releasing a state held by a run failed", "state", name, "run", run, "error", err)
		}
	}
	l.o.Graph.endAway(run)
	return elsewhere
}

// ReleaseState ends the holds and wishes that an ended run has of a state. It returns flawless.Elsewhere if another server
// owns the state.
func (l *Locks) ReleaseState(name, run string) error {
	return l.drop(name, func(w wish) bool { return w.run.ID() == run }, func(holder flawless.Claim) bool { return holder.Run == run })
}

// EndHold ends the hold or the wish of a call that does not need it any more, if it still has it. It returns
// flawless.Elsewhere if another server owns the state.
func (l *Locks) EndHold(name string, of flawless.Claim) error {
	return l.drop(name, func(w wish) bool { return w.run.ID() == of.Run && w.call == of.Call }, func(holder flawless.Claim) bool { return holder == of })
}

// drop removes wishes from the queue of a state, and ends a hold.
func (l *Locks) drop(name string, wishes func(w wish) bool, hold func(holder flawless.Claim) bool) error {
	c, err := l.use(name)
	if err != nil {
		return err
	}
	defer l.done(c)
	c.queue = slices.DeleteFunc(c.queue, func(w wish) bool {
		leaves := wishes(w)
		if leaves {
			l.leave(w)
		}
		return leaves
	})
	if c.st.Holder == nil || !hold(*c.st.Holder) {
		return nil
	}
	return l.pass(c, store.State{Value: c.st.Value})
}

// Contested returns the holders of the states that others wait for. It removes the wishes of runs that have stopped
// waiting.
func (l *Locks) Contested() map[string]flawless.Claim {
	out := map[string]flawless.Claim{}
	for _, c := range l.all() {
		c.mu.Lock()
		c.queue = slices.DeleteFunc(c.queue, func(w wish) bool {
			over := !w.run.Waits(w.call)
			if over {
				l.leave(w)
			}
			return over
		})
		if c.known && c.st.Holder != nil && len(c.queue) > 0 {
			out[c.name] = *c.st.Holder
		}
		l.done(c)
	}
	return out
}

// all returns the states in memory. Call done for each, with its lock held.
func (l *Locks) all() []*cell {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make([]*cell, 0, len(l.cells))
	for _, c := range l.cells {
		c.refs++
		all = append(all, c)
	}
	return all
}

// Abandon removes the wishes of runs that another server continues, and forgets the states that it owns. The calls of other
// runs that wait for these are performed again. When it returns, nothing is written for these states.
func (l *Locks) Abandon(gone, elsewhere func(name string) bool) {
	l.o.Graph.forgetAway(gone)
	for _, c := range l.all() {
		c.mu.Lock()
		c.queue = slices.DeleteFunc(c.queue, func(w wish) bool {
			if gone(w.run.ID()) {
				l.leave(w)
				return true
			}
			return false
		})
		if elsewhere(c.name) {
			for _, w := range c.queue {
				l.o.Graph.Unwait(w.run.ID(), w.call)
				w.run.Redo(w.call)
				w.run.Release()
			}
			c.queue, c.known, c.st = nil, false, store.State{}
			l.o.Graph.Holds(c.name, nil)
		}
		l.done(c)
	}
}

// Queue returns the calls that wait for a state, as far as this server knows them: those of a state that another server owns
// are not here.
func (l *Locks) Queue(name string) (calls []flawless.Claim) {
	l.mu.Lock()
	c := l.cells[name]
	l.mu.Unlock()
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, w := range c.queue {
		calls = append(calls, flawless.Claim{Run: w.run.ID(), Call: w.call})
	}
	return calls
}

// State returns a state with its holder and queue, or flawless.NotFound.
func (l *Locks) State(ctx context.Context, name string) (flawless.State, error) {
	st, err := l.o.State(ctx, name)
	if err != nil {
		return flawless.State{}, err
	}
	out := flawless.State{Name: name, Value: st.Value, Holder: st.Holder, Queue: l.Queue(name)}
	if out.Value == nil && out.Holder == nil && out.Queue == nil {
		return out, fmt.Errorf("there is no state %q: %w", name, flawless.NotFound)
	}
	return out, nil
}

// States returns at most limit states in the order of their names, beginning with from. next is the beginning of the
// next page, "" at the end.
func (l *Locks) States(ctx context.Context, from string, limit int) (page []flawless.State, next string, err error) {
	page = []flawless.State{}
	for name, err := range l.o.States(ctx, from) {
		if err != nil {
			return page, "", err
		}
		if len(page) == limit {
			return page, name, nil
		}
		st, err := l.State(ctx, name)
		if errors.Is(err, flawless.NotFound) {
			continue // it was released in the meantime
		}
		if err != nil {
			return page, "", err
		}
		page = append(page, st)
	}
	return page, "", nil
}

// Count returns the number of states in memory. It is 0 once nobody holds or waits for one.
func (l *Locks) Count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.cells)
}
