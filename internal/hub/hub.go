// Package hub tells those who look on what has become durable.
//
// A [Topic] is for those who follow one run, a [Watch] for one who watches all of them. Whoever changes a run calls
// [Hub.Publish], which takes no longer the more there are who look on: a crowd is told by a goroutine of the hub,
// a handful at a time, so that those it wakes do not keep the runs from the processors.
//
// The hub keeps nothing: those who look on read the store. It never tells of what is not durable yet, because its
// callers publish only what is.
package hub

import (
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/flawless-engine/flawless"
)

const (
	// Crowd is the number of followers of a run above which they are told by the hub's goroutine.
	Crowd = 16
	// handful is how many are woken before anything else that can go on does so.
	handful = 16
)

// Hub connects those who change runs with those who look on. All methods may be called concurrently.
type Hub struct {
	mu     sync.Mutex
	topics map[string]*Topic

	watching sync.Mutex // guards watches
	watches  map[*Watch]struct{}
	watched  atomic.Int64 // how many watches there are

	news *Watch // what the herald has to tell
	done sync.WaitGroup
}

// New returns a hub, whose goroutine ends with Stop.
func New() *Hub {
	h := &Hub{topics: map[string]*Topic{}, watches: map[*Watch]struct{}{}, news: newWatch()}
	h.done.Go(h.herald)
	return h
}

// Stop ends the goroutine and returns when it has ended. A crowd is told nothing from then on.
func (h *Hub) Stop() {
	h.news.close()
	h.done.Wait()
}

// Close is Stop, and ends all watches and topics.
func (h *Hub) Close() {
	h.Stop()
	h.watching.Lock()
	for w := range h.watches {
		w.close()
	}
	h.watching.Unlock()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, t := range h.topics {
		t.close()
	}
}

// Follow returns the topic of a run, until done is called.
func (h *Hub) Follow(run string) (t *Topic, done func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	t = h.topics[run]
	if t == nil {
		t = &Topic{changed: make(chan struct{}), ended: make(chan struct{}), rests: make(chan struct{})}
		h.topics[run] = t
	}
	t.refs++
	return t, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if t.refs--; t.refs == 0 {
			delete(h.topics, run)
		}
	}
}

// Publish tells that a run is, durably, like this.
func (h *Hub) Publish(run flawless.Run) {
	h.mu.Lock()
	t := h.topics[run.ID]
	many := t != nil && t.refs > Crowd
	h.mu.Unlock()
	if many {
		t.leave()
	}
	if many || h.watched.Load() > 0 {
		h.news.put(run)
	}
	if t != nil {
		t.tell(&run)
		if !many {
			t.wake()
		}
	}
}

// herald tells the many.
func (h *Hub) herald() {
	for {
		select {
		case <-h.news.more:
		case <-h.news.closed:
			return
		}
		runs := h.news.Take()
		h.watching.Lock()
		n := 0
		for w := range h.watches {
			w.put(runs...)
			if n++; n%handful == 0 {
				runtime.Gosched()
			}
		}
		h.watching.Unlock()
		for _, r := range runs {
			h.mu.Lock()
			t := h.topics[r.ID]
			h.mu.Unlock()
			if t != nil {
				t.wakeStale()
			}
		}
	}
}

// Watch returns a watch of all runs, until done is called.
func (h *Hub) Watch() (w *Watch, done func()) {
	w = newWatch()
	h.watching.Lock()
	defer h.watching.Unlock()
	h.watches[w] = struct{}{}
	h.watched.Add(1)
	return w, func() {
		h.watching.Lock()
		defer h.watching.Unlock()
		delete(h.watches, w)
		h.watched.Add(-1)
	}
}

// Block holds up the hub's goroutine until release is called. It is for tests of what must not wait for it.
func (h *Hub) Block() (release func()) {
	h.watching.Lock()
	return h.watching.Unlock
}

// Count returns how many topics and watches there are.
func (h *Hub) Count() (topics, watches int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.topics), int(h.watched.Load())
}
