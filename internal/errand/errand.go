// Package errand keeps at calls of runs whose target another server owns, until the owner has given its word.
//
// There are two ways to go about it. A question is asked again and again, because its answer takes long: when a run has
// ended, or a state is free. What stands in a line goes to its target in order, and the next one leaves when the one before
// has been acknowledged: a target that moves with 5 and 7 on the way to it might take in 7 first, and then ignore 5 as a
// repetition. What a server that stops has not finished, the next owner of the run begins again from the log of the run.
//
// The package does not know how to reach an owner, nor what calls mean. Nothing of it is stored.
package errand

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/statelock"
)

// Run is a run whose calls are carried out. There is one of an id at a time, unless the work of the older one is over.
type Run interface {
	ID() string
	// Go runs f in a goroutine that retains the run. ctx ends when the run takes no more turns on this server.
	Go(f func(ctx context.Context))
	// Redo begins a call again.
	Redo(call int)
}

// What a try returns if it has no result.
var (
	// ErrWaits says that the owner has no answer yet: ask again at once.
	ErrWaits = errors.New("the answer is not there yet")
	// ErrHere says that this server has become the owner: the call is begun again.
	ErrHere = errors.New("this server owns the target")
)

// A try that did not reach the owner is repeated after a pause, which grows from firstPause to lastPause: a shard whose
// server has died has a new owner within seconds. When shards come to this server, the pause ends at once.
const (
	firstPause = 50 * time.Millisecond
	lastPause  = time.Second
)

// Errands are those of the runs of a server. All methods may be called concurrently.
type Errands struct {
	graph *statelock.Graph // what the questions wait for; has a lock of its own
	busy  atomic.Int64     // number of questions and lines

	mu        sync.Mutex
	questions map[question]*asking
	lines     map[lineKey]*line
	moved     chan struct{} // closed when shards come to this server
}

// New returns Errands of no run. They note in graph what their questions wait for.
func New(graph *statelock.Graph) *Errands {
	return &Errands{graph: graph, questions: map[question]*asking{}, lines: map[lineKey]*line{}, moved: make(chan struct{})}
}

// question is a call that waits for the word of another server.
type question struct {
	run  string
	call int
}

type asking struct {
	cancel context.CancelFunc
	over   chan struct{} // closed when no try is running any more
}

// None reports whether nothing is under way. It is cheap.
func (e *Errands) None() bool { return e.busy.Load() == 0 }

// Moved ends all pauses, because shards have come to this server.
func (e *Errands) Moved() {
	e.mu.Lock()
	defer e.mu.Unlock()
	close(e.moved)
	e.moved = make(chan struct{})
}

// until repeats a try until it returns a result, an error that is the owner's word, or ErrHere.
func (e *Errands) until(ctx context.Context, try func(ctx context.Context) error) error {
	for pause := firstPause; ; {
		e.mu.Lock()
		moved := e.moved
		e.mu.Unlock()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		err := try(ctx)
		switch code := flawless.CodeOf(err); {
		case errors.Is(err, ErrWaits):
			pause = firstPause
			continue
		case code != flawless.Elsewhere && code != flawless.Stopping && code != flawless.Fenced:
			return err
		}
		timer := time.NewTimer(pause)
		select {
		case <-moved:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
		pause = min(2*pause, lastPause)
	}
}

// Asks reports whether a call of a run is a question that is being asked.
func (e *Errands) Asks(run string, call int) bool {
	if e.None() {
		return false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.questions[question{run, call}] != nil
}

// Ask repeats a try, which answers the call, until it has succeeded. It does nothing if the call is being asked already.
func (e *Errands) Ask(r Run, call int, target statelock.Target, try func(ctx context.Context) error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	k := question{r.ID(), call}
	if e.questions[k] != nil {
		return
	}
	stopped, cancel := context.WithCancel(context.Background())
	a := &asking{cancel: cancel, over: make(chan struct{})}
	e.questions[k] = a
	e.busy.Add(1)
	e.graph.Wait(k.run, k.call, target)
	r.Go(func(ctx context.Context) {
		defer close(a.over)
		ctx, end := context.WithCancel(ctx)
		defer end()
		defer context.AfterFunc(stopped, end)()
		err := e.until(ctx, try)
		e.mu.Lock()
		mine := e.questions[k] == a
		if mine {
			e.dropQuestion(k, a)
		}
		e.mu.Unlock()
		if mine && errors.Is(err, ErrHere) {
			r.Redo(call)
		}
	})
}

// dropQuestion ends a question. The caller holds mu.
func (e *Errands) dropQuestion(k question, a *asking) {
	a.cancel()
	delete(e.questions, k)
	e.graph.Unwait(k.run, k.call)
	e.busy.Add(-1)
}

// Stop stops asking, and returns when no try is running any more. It returns false if the call was not being asked.
func (e *Errands) Stop(run string, call int) bool {
	if e.None() {
		return false
	}
	k := question{run, call}
	e.mu.Lock()
	a := e.questions[k]
	if a != nil {
		e.dropQuestion(k, a)
	}
	e.mu.Unlock()
	if a == nil {
		return false
	}
	<-a.over
	return true
}

// lineKey is what runs send to a target in order.
type lineKey struct {
	run string
	to  statelock.Target
}

// line holds numbers of calls. Either they are all on their way to a target in this process, which takes them in in the
// order in which they were entered or not at all; or a goroutine delivers them, one after another.
type line struct {
	at      any   // the target in this process
	calls   []int // in order; those that are not acknowledged
	ordered bool  // a goroutine delivers them
}

// Deliver delivers a call, which it answers, and returns nil when the target has acknowledged it, or has refused it. It
// returns flawless.Elsewhere if neither is certain.
type Deliver func(ctx context.Context, call int) error

// Join puts a call at the end of the line to its target if that is delivered in order, and reports whether it is.
func (e *Errands) Join(run string, to statelock.Target, call int) bool {
	if e.None() {
		return false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	l := e.lines[lineKey{run, to}]
	if l == nil || !l.ordered {
		return false
	}
	l.insert(call)
	return true
}

// Enter notes a call that its caller is about to hand to a target in this process, and will then Leave or Queue. It returns
// false if the caller must not do so: the call is in the line already, or it has to go behind others that are on their way
// to where the target was before.
func (e *Errands) Enter(r Run, to statelock.Target, call int, at any, d Deliver) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	k := lineKey{r.ID(), to}
	l := e.lines[k]
	if l == nil {
		l = &line{at: at}
		e.lines[k] = l
		e.busy.Add(1)
	}
	if !l.insert(call) {
		return false
	}
	if l.ordered || l.at != at {
		e.deliver(r, k, l, d)
		return false
	}
	return true
}

// Leave notes that a call was acknowledged or refused.
func (e *Errands) Leave(run string, to statelock.Target, call int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	k := lineKey{run, to}
	if l := e.lines[k]; l != nil {
		e.leave(k, l, call)
	}
}

func (e *Errands) leave(k lineKey, l *line, call int) {
	if i, found := slices.BinarySearch(l.calls, call); found {
		l.calls = slices.Delete(l.calls, i, i+1)
	}
	if len(l.calls) == 0 && !l.ordered {
		e.dropLine(k)
	}
}

func (e *Errands) dropLine(k lineKey) {
	delete(e.lines, k)
	e.busy.Add(-1)
}

// Queue has a call delivered in order, together with all others on the way to its target.
func (e *Errands) Queue(r Run, to statelock.Target, call int, d Deliver) {
	e.mu.Lock()
	defer e.mu.Unlock()
	k := lineKey{r.ID(), to}
	l := e.lines[k]
	if l == nil {
		l = &line{}
		e.lines[k] = l
		e.busy.Add(1)
	}
	l.insert(call)
	e.deliver(r, k, l, d)
}

// insert puts a call into the line, and returns false if it is there.
func (l *line) insert(call int) bool {
	i, found := slices.BinarySearch(l.calls, call)
	if !found {
		l.calls = slices.Insert(l.calls, i, call)
	}
	return !found
}

// deliver has the calls of a line delivered one after another, from now until none is left. The caller holds mu.
func (e *Errands) deliver(r Run, k lineKey, l *line, d Deliver) {
	if l.ordered {
		return
	}
	l.ordered, l.at = true, nil
	r.Go(func(ctx context.Context) {
		for {
			e.mu.Lock()
			switch {
			case e.lines[k] != l: // it was abandoned
				e.mu.Unlock()
				return
			case len(l.calls) == 0 || ctx.Err() != nil:
				e.dropLine(k)
				e.mu.Unlock()
				return
			}
			call := l.calls[0]
			e.mu.Unlock()
			_ = e.until(ctx, func(ctx context.Context) error { return d(ctx, call) }) // d has told the run
			if ctx.Err() == nil {
				e.Leave(k.run, k.to, call)
			}
		}
	})
}

// Abandon forgets the calls of runs that another server continues.
func (e *Errands) Abandon(gone func(run string) bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for k, a := range e.questions {
		if gone(k.run) {
			e.dropQuestion(k, a)
		}
	}
	for k := range e.lines {
		if gone(k.run) {
			e.dropLine(k)
		}
	}
}

// Count returns the number of questions and lines. It is 0 when nothing is under way.
func (e *Errands) Count() int { return int(e.busy.Load()) }
