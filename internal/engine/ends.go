package engine

import (
	"slices"
	"sync"

	"github.com/flawless-engine/flawless/internal/statelock"
)

// ends knows which calls wait for the end of which run. It forgets all when the server stops: who
// waits is found again among the open errands.
type ends struct {
	mu   sync.Mutex
	runs map[string][]waiting
}

// waiting is a call that waits for a run to end. Its own run is held while it is here.
type waiting struct {
	run  *run
	call int
}

// add notes that a call waits. One that does so already is not noted twice.
func (w *ends) add(id string, r *run, call int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.runs == nil {
		w.runs = map[string][]waiting{}
	}
	if slices.Contains(w.runs[id], waiting{r, call}) {
		return
	}
	r.e.hold(r)
	r.e.graph.Wait(r.id, call, statelock.Target{Run: id})
	w.runs[id] = append(w.runs[id], waiting{r, call})
}

// remove takes back that a call waits. Others of its run may wait for the same end.
func (w *ends) remove(id string, r *run, call int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := slices.Index(w.runs[id], waiting{r, call})
	if i < 0 {
		return
	}
	r.e.release(r)
	r.e.graph.Unwait(r.id, call)
	if w.runs[id] = slices.Delete(w.runs[id], i, i+1); len(w.runs[id]) == 0 {
		delete(w.runs, id)
	}
}

// take returns who waits, and forgets them. The caller releases their runs.
func (w *ends) take(id string) []waiting {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.runs[id]
	delete(w.runs, id)
	for _, x := range all {
		x.run.e.graph.Unwait(x.run.id, x.call)
	}
	return all
}
