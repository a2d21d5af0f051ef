package errand

import (
	"slices"
	"sync"

	"github.com/flawless-engine/flawless/internal/statelock"
)

// Ends records, for each run of this server, the calls of other runs here that wait for its end. It is empty after a restart:
// the open errands then add the calls again. All methods may be called concurrently.
type Ends[R Awaiting] struct {
	graph *statelock.Graph // has a lock of its own

	mu   sync.Mutex
	runs map[string][]Waiter[R]
}

// Awaiting is a run whose calls wait.
type Awaiting interface {
	comparable
	Run
	Retain()
	Release()
}

// NewEnds returns empty Ends.
func NewEnds[R Awaiting](graph *statelock.Graph) *Ends[R] {
	return &Ends[R]{graph: graph, runs: map[string][]Waiter[R]{}}
}

// Waiter is a call that waits for a run to end. Its run is retained until it is removed or taken.
type Waiter[R Awaiting] struct {
	Run  R
	Call int
}

// Add records that a call waits. It does nothing if the call is already there.
func (w *Ends[R]) Add(id string, r R, call int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if slices.Contains(w.runs[id], Waiter[R]{r, call}) {
		return
	}
	r.Retain()
	w.graph.Wait(r.ID(), call, statelock.Target{Run: id})
	w.runs[id] = append(w.runs[id], Waiter[R]{r, call})
}

// Remove removes a waiting call. Other calls of its run may wait for the same end.
func (w *Ends[R]) Remove(id string, r R, call int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := slices.Index(w.runs[id], Waiter[R]{r, call})
	if i < 0 {
		return
	}
	r.Release()
	w.graph.Unwait(r.ID(), call)
	if w.runs[id] = slices.Delete(w.runs[id], i, i+1); len(w.runs[id]) == 0 {
		delete(w.runs, id)
	}
}

// Abandon removes the calls of runs that another server continues. The calls of other runs that wait for the end of these are
// performed again.
func (w *Ends[R]) Abandon(gone func(run string) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, all := range w.runs {
		w.runs[id] = slices.DeleteFunc(all, func(x Waiter[R]) bool {
			if !gone(id) && !gone(x.Run.ID()) {
				return false
			}
			w.graph.Unwait(x.Run.ID(), x.Call)
			if !gone(x.Run.ID()) {
				x.Run.Redo(x.Call)
			}
			x.Run.Release()
			return true
		})
		if len(w.runs[id]) == 0 {
			delete(w.runs, id)
		}
	}
}

// Take removes and returns the calls that wait for a run. The caller releases their runs.
func (w *Ends[R]) Take(id string) []Waiter[R] {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.runs[id]
	delete(w.runs, id)
	for _, x := range all {
		w.graph.Unwait(x.Run.ID(), x.Call)
	}
	return all
}

// Count returns the number of runs whose end is waited for.
func (w *Ends[R]) Count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.runs)
}
