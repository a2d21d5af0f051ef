package guest

import (
	"bytes"
	"os"
	"sync"
)

const (
	lessons  = 4   // runs from which the hot pages of a module are learned
	mostHot  = 256 // pages, of each instance that is kept
	hotChasm = 32  // pages between hot ones that are hot with them
)

// hot are the pages of a base image that nearly every run writes to. They are cheaper copied back
// than dropped, which costs a page fault in the next run. It may be used concurrently.
type hot struct {
	mu    sync.Mutex
	runs  int
	dirty []bool
	spans []span
}

// span is a piece of memory.
type span struct{ from, to uint64 }

// learn looks at the memory of a run that has ended, while there is something to learn from it. It
// returns the hot pages in order.
func (h *hot) learn(memory, base []byte) []span {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.runs == lessons {
		return h.spans
	}
	h.runs++
	page := os.Getpagesize()
	if h.dirty == nil {
		h.dirty = make([]bool, (len(base)+page-1)/page)
	}
	for k := range h.dirty {
		from, to := k*page, min((k+1)*page, len(base))
		h.dirty[k] = h.dirty[k] || !bytes.Equal(memory[from:to], base[from:to])
	}
	if h.runs == lessons {
		h.spans = spans(h.dirty, uint64(page), uint64(len(base)))
		h.dirty = nil
	}
	return nil
}

// spans joins pages to pieces; none where they are too many.
func spans(dirty []bool, page, size uint64) (out []span) {
	pages := uint64(0)
	for k, d := range dirty {
		if !d {
			continue
		}
		from, to := uint64(k)*page, min(uint64(k+1)*page, size)
		if n := len(out); n > 0 && from-out[n-1].to <= hotChasm*page {
			pages += (from - out[n-1].to) / page
			out[n-1].to = to
		} else {
			out = append(out, span{from, to})
		}
		pages++
	}
	if pages > mostHot {
		return nil
	}
	return out
}
