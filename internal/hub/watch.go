package hub

import (
	"sync"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/task"
)

// Watch collects changes of all runs. A slow reader misses intermediate states, but never the latest one.
type Watch struct {
	mu     sync.Mutex
	order  []string
	runs   map[string]flawless.Run
	upTo   uint64 // number of the last change in runs
	more   chan struct{}
	closed chan struct{}
	once   sync.Once
}

func newWatch() *Watch {
	return &Watch{runs: map[string]flawless.Run{}, more: make(chan struct{}, 1), closed: make(chan struct{})}
}

// More returns a channel that has an item when Take may return something.
func (w *Watch) More() <-chan struct{} { return w.more }

// Closed returns a channel that is closed when no more changes come.
func (w *Watch) Closed() <-chan struct{} { return w.closed }

// Take returns the latest state of each run that has changed since the last call.
func (w *Watch) Take() []flawless.Run {
	runs, _ := w.TakeUpTo()
	return runs
}

// TakeUpTo is Take that also returns a number: the reader now has all changes up to it.
func (w *Watch) TakeUpTo() ([]flawless.Run, uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := make([]flawless.Run, len(w.order))
	for i, id := range w.order {
		out[i] = w.runs[id]
	}
	w.order = w.order[:0]
	clear(w.runs)
	return out, w.upTo
}

func (w *Watch) close() { w.once.Do(func() { close(w.closed) }) }

func (w *Watch) put(upTo uint64, all ...flawless.Run) {
	w.mu.Lock()
	w.upTo = max(w.upTo, upTo)
	for _, r := range all {
		if last, ok := w.runs[r.ID]; !ok {
			w.order = append(w.order, r.ID)
		} else if last.Turns > r.Turns {
			continue
		}
		w.runs[r.ID] = r
	}
	w.mu.Unlock()
	task.Poke(w.more)
}
