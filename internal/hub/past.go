package hub

import (
	"slices"
	"strconv"
	"time"
)

// Kept is how many changes a hub remembers, for watchers that were away.
const Kept = 10_000

// past remembers which runs have changed last. The lock of the hub guards it.
type past struct {
	epoch string // of this hub; numbers of others mean nothing here
	n     uint64 // of the last change, from 1
	runs  []string
}

// newEpoch returns a name that no other hub has, of digits and lower-case letters.
func newEpoch(salt uint64) string {
	return strconv.FormatInt(time.Now().UnixNano(), 36) + strconv.FormatUint(salt, 36)
}

// add numbers a change.
func (p *past) add(run string) uint64 {
	if len(p.runs) < Kept {
		p.runs = append(p.runs, run)
	} else {
		p.runs[p.n%Kept] = run
	}
	p.n++
	return p.n
}

// since returns the runs that have changed after number n, each once, in order of their last change. It returns false if that
// is not known any more, or n never was a number of this hub.
func (p *past) since(n uint64) (runs []string, ok bool) {
	if n > p.n || p.n-n > uint64(len(p.runs)) {
		return nil, false
	}
	seen := map[string]bool{}
	for i := p.n; i > n; i-- {
		if run := p.runs[(i-1)%Kept]; !seen[run] {
			seen[run] = true
			runs = append(runs, run)
		}
	}
	slices.Reverse(runs)
	return runs, true
}

// Now returns the epoch of the hub and the number of the last change.
func (h *Hub) Now() (epoch string, n uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.past.epoch, h.past.n
}

// Since returns the runs that have changed after change n, each once, and the number of the last change. It returns false if
// that is not known any more. A watcher that calls it after [Hub.Watch] misses nothing.
func (h *Hub) Since(n uint64) (runs []string, now uint64, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	runs, ok = h.past.since(n)
	return runs, h.past.n, ok
}
