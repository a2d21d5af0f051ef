package engine

import (
	"slices"
	"sync"

	"github.com/flawless-engine/flawless/internal/live"
	"github.com/flawless-engine/flawless/internal/statelock"
)

// ends is which calls wait for the end of which run. It is empty after a restart: calls that wait are found among the open
// errands again.
type ends struct {
	graph *statelock.Graph // has a lock of its own

	mu   sync.Mutex
	runs map[string][]waiter
}

// waiter is a call that waits for a run to end. Its own run is retained while it is here.
type waiter struct {
	run  *live.Run
	call int
}

// add notes that a call waits. It does nothing if that is noted already.
func (w *ends) add(id string, r *live.Run, call int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.runs == nil {
		w.runs = map[string][]waiter{}
	}
	if slices.Contains(w.runs[id], waiter{r, call}) {
		return
	}
	r.Retain()
	w.graph.Wait(r.ID(), call, statelock.Target{Run: id})
	w.runs[id] = append(w.runs[id], waiter{r, call})
}

// remove removes a call that waits. Others of its run may wait for the same end.
func (w *ends) remove(id string, r *live.Run, call int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := slices.Index(w.runs[id], waiter{r, call})
	if i < 0 {
		return
	}
	r.Release()
	w.graph.Unwait(r.ID(), call)
	if w.runs[id] = slices.Delete(w.runs[id], i, i+1); len(w.runs[id]) == 0 {
		delete(w.runs, id)
	}
}

// take removes and returns the calls that wait for a run. The caller releases their runs.
func (w *ends) take(id string) []waiter {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.runs[id]
	delete(w.runs, id)
	for _, x := range all {
		w.graph.Unwait(x.run.ID(), x.call)
	}
	return all
}
