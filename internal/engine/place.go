package engine

import (
	"container/heap"
	"context"
	"sync"
)

// places are those that guests take in memory. The run that is oldest is served first, so that
// under load runs end, and not only begin: a run that lost its place has to be replayed when it
// gets one again.
type places struct {
	mu      sync.Mutex
	all     int
	used    int
	waiting waiters
}

// waiter is a run without a place.
type waiter struct {
	since int64 // when the run was started
	place int   // in the heap
	got   chan struct{}
}

// take waits for a place for a run that was started at since. It calls press where there is none at
// once.
func (p *places) take(ctx context.Context, since int64, press func()) error {
	p.mu.Lock()
	if p.used < p.all {
		p.used++
		p.mu.Unlock()
		return nil
	}
	w := &waiter{since: since, got: make(chan struct{})}
	heap.Push(&p.waiting, w)
	p.mu.Unlock()
	press()
	select {
	case <-w.got:
		return nil
	case <-ctx.Done():
	}
	p.mu.Lock()
	if w.place >= 0 {
		heap.Remove(&p.waiting, w.place)
		p.mu.Unlock()
		return ctx.Err()
	}
	p.mu.Unlock()
	p.give()
	return ctx.Err()
}

// give returns a place, to whoever is next.
func (p *places) give() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.waiting) == 0 {
		p.used--
		return
	}
	close(heap.Pop(&p.waiting).(*waiter).got)
}

// short is how many wait for a place.
func (p *places) short() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.waiting)
}

func (p *places) taken() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.used
}

// waiters is a heap, oldest run first.
type waiters []*waiter

func (w waiters) Len() int { return len(w) }

func (w waiters) Less(i, j int) bool { return w[i].since < w[j].since }

func (w waiters) Swap(i, j int) {
	w[i], w[j] = w[j], w[i]
	w[i].place, w[j].place = i, j
}

func (w *waiters) Push(x any) {
	x.(*waiter).place = len(*w)
	*w = append(*w, x.(*waiter))
}

func (w *waiters) Pop() any {
	old := *w
	last := old[len(old)-1]
	last.place = -1
	*w = old[:len(old)-1]
	return last
}
