// Package hub notifies followers of durable changes of runs.
//
// A [Topic] follows one run, a [Watch] follows all runs. Code that changes a run calls [Hub.Publish], whose cost does
// not grow with the number of followers: if there are many, a goroutine of the hub wakes them in small batches, so
// that they do not crowd out the runs.
//
// The hub stores nothing; followers read the store. Callers publish only what is durable.
package hub

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/flawless-engine/flawless"
)

const (
	// Crowd is the number of followers of a run above which the hub's goroutine notifies them.
	Crowd = 16
	// handful is the number of followers that are woken before other goroutines get a chance to run.
	handful = 16
)

// Hub connects publishers of changes with followers. All methods may be called concurrently.
type Hub struct {
	mu     sync.Mutex
	topics map[string]*Topic
	past   past

	watching sync.Mutex // guards watches
	watches  map[*Watch]struct{}
	watched  atomic.Int64 // number of watches

	news *Watch // changes that the herald has yet to deliver
	done sync.WaitGroup
}

// New returns a Hub. Its goroutine ends with Stop.
func New() *Hub {
	h := &Hub{topics: map[string]*Topic{}, watches: map[*Watch]struct{}{}, news: newWatch()}
	h.past.epoch = newEpoch(rand.Uint64())
	h.done.Go(h.herald)
	return h
}

// Stop ends the goroutine and waits for it. Large groups of followers get no notifications after that.
func (h *Hub) Stop() {
	h.news.close()
	h.done.Wait()
}

// Close stops the hub and closes all watches and topics.
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

// Follow returns the topic of a run. The caller must call done.
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
		if t.refs--; t.refs == 0 && h.topics[run] == t {
			delete(h.topics, run)
		}
	}
}

// Publish notifies followers of the durable state of a run.
func (h *Hub) Publish(run flawless.Run) {
	h.mu.Lock()
	t := h.topics[run.ID]
	many := t != nil && t.refs > Crowd
	n := h.past.add(run.ID)
	if many || h.watched.Load() > 0 {
		h.news.put(n, run) // under the lock, in the order of the numbers
	}
	h.mu.Unlock()
	if many {
		t.leave()
	}
	if t != nil {
		t.tell(&run)
		if !many {
			t.wake()
		}
	}
}

// herald notifies large groups of followers.
func (h *Hub) herald() {
	for {
		select {
		case <-h.news.more:
		case <-h.news.closed:
			return
		}
		runs, upTo := h.news.TakeUpTo()
		h.watching.Lock()
		n := 0
		for w := range h.watches {
			w.put(upTo, runs...)
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

// Abandon closes the topics of runs that went to another server: nobody publishes their changes here any more.
func (h *Hub) Abandon(gone func(run string) bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for run, t := range h.topics {
		if gone(run) {
			t.close()
			delete(h.topics, run)
		}
	}
}

// Watch returns a watch of all runs. The caller must call done.
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

// Watched reports whether anybody watches all runs, so that a change need not be made complete for nobody.
func (h *Hub) Watched() bool { return h.watched.Load() > 0 }

// Block stops the hub's goroutine until release is called. Tests use it to check what must not wait for it.
func (h *Hub) Block() (release func()) {
	h.watching.Lock()
	return h.watching.Unlock
}

// Count returns the number of topics and watches.
func (h *Hub) Count() (topics, watches int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.topics), int(h.watched.Load())
}
