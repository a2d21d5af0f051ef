package residency

import (
	"container/heap"
	"context"
	"sync"
	"time"
)

// Class is a kind of work. Classes that wait for the same permits are served in turn.
type Class int

const (
	FirstTurn Class = iota // the first turn of a run
	NextTurn               // a turn of a guest that is in memory
	Heavy                  // making a guest again, computing for longer than a moment, examining a run
	classes   = iota
)

// headStart is the maximum by which the age of a run moves it forward among those that wait.
const headStart = 10 * time.Second

// Permits is a limited number of permits: slots in memory, or permits to compute. All methods may be called
// concurrently.
//
// While several classes wait, each gets every second or third permit that becomes free, so none waits for the
// work of another. Within a class the order is by waiting time plus the age of the run, at most headStart: runs
// that are nearly done finish first, yet no run is overtaken by one that came headStart later.
type Permits struct {
	mu      sync.Mutex
	limit   int
	used    int
	waiting [classes]waiters
	last    Class // that was served
}

// NewPermits returns that many permits.
func NewPermits(limit int) *Permits { return &Permits{limit: limit} }

// waiter waits for a permit.
type waiter struct {
	rank  int64 // when it came, less its head start; Unix nanoseconds
	since int64 // when its run was started
	index int   // in the heap, -1 outside
	got   chan struct{}
}

// Acquire waits for a permit. If none is free it calls wait, which may be nil, before it waits. Since is when
// the run was started, in Unix nanoseconds; 0 gives it no head start. The error is that of ctx.
func (p *Permits) Acquire(ctx context.Context, c Class, since int64, wait func()) error {
	p.mu.Lock()
	if p.used < p.limit { // then nobody waits
		p.used++
		p.mu.Unlock()
		return nil
	}
	now := time.Now().UnixNano()
	w := &waiter{rank: now, since: since, got: make(chan struct{})}
	if since > 0 {
		w.rank -= min(max(now-since, 0), int64(headStart))
	}
	heap.Push(&p.waiting[c], w)
	p.mu.Unlock()
	if wait != nil {
		wait()
	}
	select {
	case <-w.got:
		return nil
	case <-ctx.Done():
	}
	p.mu.Lock()
	if w.index >= 0 {
		heap.Remove(&p.waiting[c], w.index)
		p.mu.Unlock()
		return ctx.Err()
	}
	p.mu.Unlock()
	p.Release()
	return ctx.Err()
}

// Release gives a permit back.
func (p *Permits) Release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.used--
	p.serve()
}

// Yield gives a permit back and waits for another one as [Heavy] work, so that others get their turn.
func (p *Permits) Yield() {
	p.Release()
	_ = p.Acquire(context.Background(), Heavy, 0, nil) // permits become free again and again, also while the engine stops
}

// SetLimit changes how many permits there are. Those in use above it are not taken away.
func (p *Permits) SetLimit(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.limit = n
	p.serve()
}

// serve hands out what is free. The caller holds mu.
func (p *Permits) serve() {
	for p.used < p.limit {
		next := p.next()
		if next == nil {
			return
		}
		p.used++
		close(next.got)
	}
}

// next removes and returns the waiter that is served next, nil if none waits. The caller holds mu.
func (p *Permits) next() *waiter {
	for k := range classes {
		c := (p.last + 1 + Class(k)) % classes
		if len(p.waiting[c]) > 0 {
			p.last = c
			return heap.Pop(&p.waiting[c]).(*waiter)
		}
	}
	return nil
}

// Count returns how many permits are in use, how many are waited for, and how many there are.
func (p *Permits) Count() (used, waiting, limit int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range p.waiting {
		waiting += len(w)
	}
	return p.used, waiting, p.limit
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
