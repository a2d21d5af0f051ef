package server

import (
	"context"
	"fmt"
	"sync"

	"github.com/flawless-engine/flawless"
)

// A record of a log can have tens of megabytes, and encoding it as JSON takes several times as much. So that many
// readers together cannot exhaust the memory, only a few pages are encoded at a time; since that is work for the
// processor, the others lose little by waiting. An encoded page is in memory until a possibly slow client has read
// it, so the total size of long pages is limited.
const (
	makersAtOnce = 2
	maxLong      = 256 << 20 // bytes of long pages that clients have not read yet
)

// heap limits the memory for answers. It may be used concurrently.
type heap struct {
	making chan struct{}

	mu   sync.Mutex
	long int
}

func newHeap() *heap { return &heap{making: make(chan struct{}, makersAtOnce)} }

// enter waits until another answer may be encoded. The caller calls leave afterwards.
func (h *heap) enter(ctx context.Context) (leave func(), err error) {
	select {
	case h.making <- struct{}{}:
		return func() { <-h.making }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// keep reserves memory for an answer of a size until written is called, or returns [flawless.Stopping] if there is
// not enough. An answer of at most a page always fits, and so does any answer if it is the only one.
func (h *heap) keep(size int) (written func(), err error) {
	if size <= 2*maxPage {
		return func() {}, nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.long > 0 && h.long+size > maxLong {
		return nil, fmt.Errorf("the page has %d bytes, and %d bytes of large pages are waiting for slow clients: try again in a moment: %w", size, h.long, flawless.Stopping)
	}
	h.long += size
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.long -= size
	}, nil
}
