package engine

import "sync"

// tasks owns goroutines. Unlike a sync.WaitGroup it may be added to while somebody waits.
type tasks struct {
	mu   sync.Mutex
	n    int
	none sync.Cond
}

// Go runs f in a goroutine.
func (t *tasks) Go(f func()) {
	t.mu.Lock()
	t.n++
	t.mu.Unlock()
	go func() {
		defer func() {
			t.mu.Lock()
			defer t.mu.Unlock()
			if t.n--; t.n == 0 && t.none.L != nil {
				t.none.Broadcast()
			}
		}()
		f()
	}()
}

// Count returns how many are running.
func (t *tasks) Count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.n
}

// Wait returns when none is running.
func (t *tasks) Wait() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.none.L = &t.mu
	for t.n > 0 {
		t.none.Wait()
	}
}
