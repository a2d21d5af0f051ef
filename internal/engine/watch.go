package engine

import (
	"context"
	"iter"
	"sync"

	"github.com/flawless-engine/flawless"
)

// topic tells those who follow one run that something about it became durable.
type topic struct {
	mu      sync.Mutex
	changed chan struct{} // closed at the next change
	ended   chan struct{} // closed at the run's end, when end is set, and when nothing more is told
	end     *flawless.Run
	rests   chan struct{} // closed while the run has ended or needs a person, and when nothing more is told
	rest    *flawless.Run // as it is then
	closed  bool
	refs    int // under e.mu
}

func (t *topic) next() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.changed
}

func (t *topic) tell(account *flawless.Run) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return
	}
	close(t.changed)
	t.changed = make(chan struct{})
	if account.Status.Ended() && t.end == nil {
		t.end = account
		close(t.ended)
	}
	switch rests := account.Status.Ended() || account.Status == flawless.Unresolved; {
	case rests && t.rest == nil:
		t.rest = account
		close(t.rests)
	case !rests && t.rest != nil:
		t.rest, t.rests = nil, make(chan struct{})
	}
}

// resting returns the run where it rests, and else what is closed when it does.
func (t *topic) resting() (*flawless.Run, <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.rest, t.rests
}

func (t *topic) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.closed {
		t.closed = true
		close(t.changed)
		if t.end == nil {
			close(t.ended)
		}
		if t.rest == nil {
			close(t.rests)
		}
	}
}

func (e *Engine) subscribe(id string) (*topic, func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	t := e.topics[id]
	if t == nil {
		t = &topic{changed: make(chan struct{}), ended: make(chan struct{}), rests: make(chan struct{})}
		e.topics[id] = t
	}
	t.refs++
	return t, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		if t.refs--; t.refs == 0 {
			delete(e.topics, id)
		}
	}
}

// publish tells that a run is, durably, like this.
func (e *Engine) publish(id string, account flawless.Run) {
	e.mu.Lock()
	t := e.topics[id]
	for w := range e.watches {
		w.put(account)
	}
	e.mu.Unlock()
	if t != nil {
		t.tell(&account)
	}
}

// Wait returns the run when it has ended, or ctx's error.
func (e *Engine) Wait(ctx context.Context, id string) (flawless.Run, error) {
	t, done := e.subscribe(id)
	defer done()
	r, err := e.Run(ctx, id)
	if err != nil || r.Status.Ended() {
		return r, err
	}
	if err := e.await(ctx, t.ended); err != nil {
		return r, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.end == nil {
		return r, e.over()
	}
	return *t.end, nil
}

// Settled returns the run when it has ended or needs a person, or ctx's error.
func (e *Engine) Settled(ctx context.Context, id string) (flawless.Run, error) {
	t, done := e.subscribe(id)
	defer done()
	r, err := e.Run(ctx, id)
	if err != nil || r.Status.Ended() || r.Status == flawless.Unresolved {
		return r, err
	}
	for {
		rest, rests := t.resting()
		if rest != nil {
			return *rest, nil
		}
		if err := e.await(ctx, rests); err != nil {
			return r, err
		}
		if rest, _ = t.resting(); rest == nil && e.stopping.Load() {
			return r, e.over()
		}
	}
}

func (e *Engine) await(ctx context.Context, changed <-chan struct{}) error {
	select {
	case <-changed:
		if e.dead.Load() {
			return e.over()
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Follow yields the records of a run from number from on, as they become durable, and ends when
// the run has ended and everything it asked for is over, or with an error.
func (e *Engine) Follow(ctx context.Context, id string, from uint64) iter.Seq2[flawless.Record, error] {
	return func(yield func(flawless.Record, error) bool) {
		t, done := e.subscribe(id)
		defer done()
		for {
			changed := t.next()
			run, err := e.Run(ctx, id)
			if err != nil {
				yield(flawless.Record{}, err)
				return
			}
			for rec, err := range e.store.Log(ctx, id, from) {
				if !yield(rec, err) || err != nil {
					return
				}
				from = rec.Seq + 1
			}
			if run.Status.Ended() {
				return
			}
			if err := e.await(ctx, changed); err != nil {
				yield(flawless.Record{}, err)
				return
			}
		}
	}
}

// watch collects changes for one who watches all runs. Where he is slow he misses states in
// between, never the last one.
type watch struct {
	mu     sync.Mutex
	order  []string
	runs   map[string]flawless.Run
	more   chan struct{}
	closed chan struct{}
	once   sync.Once
}

func (w *watch) close() { w.once.Do(func() { close(w.closed) }) }

func (w *watch) put(r flawless.Run) {
	w.mu.Lock()
	if last, ok := w.runs[r.ID]; !ok {
		w.order = append(w.order, r.ID)
	} else if last.Turns > r.Turns {
		w.mu.Unlock()
		return
	}
	w.runs[r.ID] = r
	w.mu.Unlock()
	poke(w.more)
}

func (w *watch) take() []flawless.Run {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := make([]flawless.Run, len(w.order))
	for i, id := range w.order {
		out[i] = w.runs[id]
	}
	w.order = w.order[:0]
	clear(w.runs)
	return out
}

// Watch yields every run whose durable state changes from now on, until ctx ends or the engine
// stops.
func (e *Engine) Watch(ctx context.Context) iter.Seq2[flawless.Run, error] {
	w := &watch{runs: map[string]flawless.Run{}, more: make(chan struct{}, 1), closed: make(chan struct{})}
	e.mu.Lock()
	e.watches[w] = struct{}{}
	e.mu.Unlock()
	return func(yield func(flawless.Run, error) bool) {
		defer func() {
			e.mu.Lock()
			delete(e.watches, w)
			e.mu.Unlock()
		}()
		for {
			select {
			case <-w.more:
			case <-w.closed:
				yield(flawless.Run{}, e.over())
				return
			case <-ctx.Done():
				yield(flawless.Run{}, ctx.Err())
				return
			}
			for _, r := range w.take() {
				if !yield(r, nil) {
					return
				}
			}
		}
	}
}
