package engine

import (
	"container/heap"
	"context"
	"sync"
	"time"
)

// class is a kind of work. Classes that wait for the same thing are served in turn.
type class int

const (
	begins  class = iota // the first turn of a run
	goesOn               // a turn of a guest that is in memory
	heavy                // to make a guest again, to compute for longer than a moment, to examine a run
	classes = iota
)

// headStart is how much longer than it has an older run can count as having waited.
const headStart = 10 * time.Second

// share hands out a limited number of something: slots in memory, permits to compute.
//
// While several classes wait, each gets every second or third that becomes free, so none waits for what
// another has to do. Within a class it goes by waiting time, to which a run's age is added, at most headStart:
// runs that are nearly done end first, and yet nobody is overtaken by runs that came headStart later.
type share struct {
	mu      sync.Mutex
	limit   int
	used    int
	waiting [classes]waiters
	last    class // that was served
}

// waiter is somebody who waits for a share.
type waiter struct {
	rank  int64 // when it came, less its head start; Unix nanoseconds
	since int64 // when its run was started
	index int   // in the heap, -1 outside
	got   chan struct{}
}

// acquire waits until it gets one. Where there is none at once it calls wait, which may be nil, before it
// waits. Since is when the run was started, in Unix nanoseconds; 0 gives it no head start.
func (s *share) acquire(ctx context.Context, c class, since int64, wait func()) error {
	s.mu.Lock()
	if s.used < s.limit { // then nobody waits
		s.used++
		s.mu.Unlock()
		return nil
	}
	now := time.Now().UnixNano()
	w := &waiter{rank: now, since: since, got: make(chan struct{})}
	if since > 0 {
		w.rank -= min(max(now-since, 0), int64(headStart))
	}
	heap.Push(&s.waiting[c], w)
	s.mu.Unlock()
	if wait != nil {
		wait()
	}
	select {
	case <-w.got:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	if w.index >= 0 {
		heap.Remove(&s.waiting[c], w.index)
		s.mu.Unlock()
		return ctx.Err()
	}
	s.mu.Unlock()
	s.release()
	return ctx.Err()
}

// release gives one back.
func (s *share) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used--
	s.serve()
}

// setLimit changes how many there are. Those that are in use above it are not taken away.
func (s *share) setLimit(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limit = n
	s.serve()
}

// serve hands out what is free. The caller holds mu.
func (s *share) serve() {
	for s.used < s.limit {
		next := s.next()
		if next == nil {
			return
		}
		s.used++
		close(next.got)
	}
}

// next takes out whoever is to be served next, nil where nobody waits. The caller holds mu.
func (s *share) next() *waiter {
	for k := range classes {
		c := (s.last + 1 + class(k)) % classes
		if len(s.waiting[c]) > 0 {
			s.last = c
			return heap.Pop(&s.waiting[c]).(*waiter)
		}
	}
	return nil
}

// count returns how many are in use, how many wait for one, and how many there are.
func (s *share) count() (used, short, limit int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.waiting {
		short += len(w)
	}
	return s.used, short, s.limit
}

// waiters is a heap, lowest rank first.
type waiters []*waiter

func (w waiters) Len() int { return len(w) }

func (w waiters) Less(i, j int) bool {
	return w[i].rank < w[j].rank || w[i].rank == w[j].rank && w[i].since < w[j].since
}

func (w waiters) Swap(i, j int) {
	w[i], w[j] = w[j], w[i]
	w[i].index, w[j].index = i, j
}

func (w *waiters) Push(x any) {
	x.(*waiter).index = len(*w)
	*w = append(*w, x.(*waiter))
}

func (w *waiters) Pop() any {
	old := *w
	last := old[len(old)-1]
	last.index = -1
	old[len(old)-1] = nil
	*w = old[:len(old)-1]
	return last
}
