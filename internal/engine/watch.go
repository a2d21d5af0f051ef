package engine

import (
	"context"
	"iter"
	"runtime"
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
	stale   bool // the herald is to wake those who follow
	refs    int  // under e.mu
}

func (t *topic) next() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.changed
}

// wake has all who follow look at what has changed.
func (t *topic) wake() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.wakeLocked()
}

func (t *topic) wakeLocked() {
	if t.stale = false; !t.closed {
		close(t.changed)
		t.changed = make(chan struct{})
	}
}

// leave leaves it to the herald to wake those who follow.
func (t *topic) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stale = true
}

// wakeStale is what the herald does then.
func (t *topic) wakeStale() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stale {
		t.wakeLocked()
	}
}

func (t *topic) tell(account *flawless.Run) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return
	}
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

// crowd is from how many followers of a run on they are told by the herald, and not by whoever has
// changed it. handful is how many it lets go at a time.
const (
	crowd   = 16
	handful = 16
)

// publish tells that a run is, durably, like this. It takes no longer the more there are who look on.
func (e *Engine) publish(id string, account flawless.Run) {
	e.mu.Lock()
	t := e.topics[id]
	many := t != nil && t.refs > crowd
	e.mu.Unlock()
	if many {
		t.leave()
	}
	if many || e.watched.Load() > 0 {
		e.news.put(account)
	}
	if t != nil {
		t.tell(&account)
		if !many {
			t.wake()
		}
	}
}

// herald tells the many. Whoever it lets go competes with the runs for the processors, so it lets go of
// a handful at a time, and anything else that can go on does so in between.
func (e *Engine) herald() {
	for {
		select {
		case <-e.news.more:
		case <-e.news.closed:
			return
		}
		runs := e.news.take()
		e.watching.Lock()
		n := 0
		for w := range e.watches {
			w.put(runs...)
			if n++; n%handful == 0 {
				runtime.Gosched()
			}
		}
		e.watching.Unlock()
		for _, r := range runs {
			e.mu.Lock()
			t := e.topics[r.ID]
			e.mu.Unlock()
			if t != nil {
				t.wakeStale()
			}
		}
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
			run, part, more, err := e.readOn(ctx, id, from)
			for _, rec := range part {
				if !yield(rec, nil) {
					return
				}
				from = rec.Seq + 1
			}
			switch {
			case err != nil:
			case more:
				continue
			case run.Status.Ended():
				return
			default:
				err = e.await(ctx, changed)
			}
			if err != nil {
				yield(flawless.Record{}, err)
				return
			}
		}
	}
}

// glimpse is how many records a follower reads at a time, unless they have glimpseBytes before. While
// they are passed on, which takes as long as the one who reads them likes, nothing of the database is
// held. lookers is how many read at the same time.
const (
	glimpse      = 100
	glimpseBytes = 1 << 20
	lookers      = 16
)

// readOn returns a run and some records of its log, and whether there are more. Few look at the same time:
// of ten thousand who follow a run, all want to when it changes.
func (e *Engine) readOn(ctx context.Context, id string, from uint64) (run flawless.Run, part []flawless.Record, more bool, err error) {
	if err := e.looking.Acquire(ctx, 1); err != nil {
		return run, nil, false, err
	}
	defer e.looking.Release(1)
	if run, err = e.Run(ctx, id); err != nil {
		return run, nil, false, err
	}
	size := 0
	for rec, err := range e.store.Log(ctx, id, from) {
		if err != nil || len(part) == glimpse || size > glimpseBytes {
			return run, part, err == nil, err
		}
		part = append(part, rec)
		size += bulk(rec)
	}
	return run, part, false, nil
}

// bulk is about how many bytes a record has.
func bulk(rec flawless.Record) (n int) {
	for _, x := range rec.Entries {
		switch {
		case x.Start != nil:
			n += len(x.Start.Input)
		case x.Arrival != nil:
			n += len(x.Arrival.Head) + len(x.Arrival.Body)
		case x.Decision != nil:
			n += len(x.Decision.Body)
		case x.Message != nil:
			n += len(x.Message.Body)
		case x.Turn != nil:
			n += len(x.Turn.Data)
			for _, c := range x.Turn.Calls {
				n += len(c.Head) + len(c.Body)
			}
			for _, l := range x.Turn.Lines {
				n += len(l.Text) + len(l.Fields)
			}
			if x.Turn.Ended != nil {
				n += len(x.Turn.Ended.Output)
			}
		}
	}
	return n
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

func newWatch() *watch {
	return &watch{runs: map[string]flawless.Run{}, more: make(chan struct{}, 1), closed: make(chan struct{})}
}

func (w *watch) put(all ...flawless.Run) {
	w.mu.Lock()
	for _, r := range all {
		if last, ok := w.runs[r.ID]; !ok {
			w.order = append(w.order, r.ID)
		} else if last.Turns > r.Turns {
			continue
		}
		w.runs[r.ID] = r
	}
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

// join has the herald tell w, until done is called.
func (e *Engine) join(w *watch) (done func()) {
	e.watching.Lock()
	defer e.watching.Unlock()
	e.watches[w] = struct{}{}
	e.watched.Add(1)
	return func() {
		e.watching.Lock()
		defer e.watching.Unlock()
		delete(e.watches, w)
		e.watched.Add(-1)
	}
}

// Watch yields every run whose durable state changes from now on, until ctx ends or the engine
// stops.
func (e *Engine) Watch(ctx context.Context) iter.Seq2[flawless.Run, error] {
	w := newWatch()
	done := e.join(w)
	return func(yield func(flawless.Run, error) bool) {
		defer done()
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
