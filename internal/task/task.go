package task

import (
	"sync"
)

// maxIdle is how many idle goroutines are kept. A reused one has a stack that need not grow.
const maxIdle = 64

// Tasks runs goroutines. Unlike with a sync.WaitGroup, tasks may be added while somebody waits.
type Tasks struct {
	mu   sync.Mutex
	n    int
	none sync.Cond
	idle []chan func() // the most recently used ones are last
	over bool          // Wait was called: no goroutine stays idle
}

// Go runs f in a goroutine.
func (t *Tasks) Go(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.n++
	if last := len(t.idle) - 1; last >= 0 {
		t.idle[last] <- f
		t.idle = t.idle[:last]
		return
	}
	go func() {
		more := make(chan func(), 1)
		for f := f; f != nil; f = t.next(more) {
			t.do(f)
		}
	}()
}

func (t *Tasks) do(f func()) {
	defer t.add(-1)
	f()
}

// add counts more running tasks, or fewer.
func (t *Tasks) add(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.n += n; t.n == 0 && t.none.L != nil {
		t.none.Broadcast()
	}
}

// next waits for another task. It returns nil if the goroutine should end.
func (t *Tasks) next(more chan func()) func() {
	t.mu.Lock()
	if t.over || len(t.idle) == maxIdle {
		t.mu.Unlock()
		return nil
	}
	t.idle = append(t.idle, more)
	t.mu.Unlock()
	return <-more
}

// Count returns the number of running tasks.
func (t *Tasks) Count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.n
}

// Wait returns when no task is running. From then on, no goroutine stays idle.
func (t *Tasks) Wait() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.none.L = &t.mu
	for t.n > 0 {
		t.none.Wait()
	}
	t.over = true
	for _, more := range t.idle {
		close(more)
	}
	t.idle = nil
}

// Poke wakes the goroutine that receives from kick, now or the next time it looks. The channel needs a buffer of one.
func Poke(kick chan<- struct{}) {
	select {
	case kick <- struct{}{}:
	default:
	}
}
