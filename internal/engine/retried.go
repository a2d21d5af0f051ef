package engine

import (
	"sync"
)

// retried are the runs with a call that is tried again, as far as they were loaded since the start: all are,
// soon after it.
type retried struct {
	mu   sync.Mutex
	runs map[string]struct{}
}

func (r *retried) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.runs)
}

// note takes in how a run was and is.
func (r *retried) note(id string, before, after bool) {
	if !before && !after {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if delete(r.runs, id); after {
		if r.runs == nil {
			r.runs = map[string]struct{}{}
		}
		r.runs[id] = struct{}{}
	}
}
