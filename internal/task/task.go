package task

import (
	"sync"
)

// mostIdle is how many goroutines without a task are kept: one that is used again has a stack that
// need not grow.
const mostIdle = 64

// Tasks owns goroutines. Unlike a sync.WaitGroup it may be added to while somebody waits.
type Tasks struct {
	mu   sync.Mutex
	n    int
	none sync.Cond
	idle []chan func() // of those that were used last
	over bool          // none is kept any more
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
	defer func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.n--; t.n == 0 && t.none.L != nil {
			t.none.Broadcast()
		}
	}()
	f()
}

// next waits for another task. It returns nil where the goroutine is not kept.
func (t *Tasks) next(more chan func()) func() {
	t.mu.Lock()
	if t.over || len(t.idle) == mostIdle {
		t.mu.Unlock()
		return nil
	}
	t.idle = append(t.idle, more)
	t.mu.Unlock()
	return <-more
}

// Count returns how many are running.
func (t *Tasks) Count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.n
}

// Wait returns when none is running. None is kept without a task from then on.
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

// Poke wakes a goroutine that waits at a channel with room for one, now or when it looks there next.
func Poke(kick chan<- struct{}) {
	select {
	case kick <- struct{}{}:
	default:
	}
}
