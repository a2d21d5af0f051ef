package server

import (
	"context"
	"fmt"
	"sync"

	"github.com/flawless-engine/flawless"
)

// A record of a log can have tens of megabytes, and making JSON of it takes several times as much. So that
// readers cannot fill the memory together, pages are made by a few at a time, which costs them little as it is
// work for a processor; the others wait their turn. A long page that is made is kept until the client has taken
// it, which may be slow: those have a limit together.
const (
	makersAtOnce = 2
	maxLong      = 256 << 20 // bytes of long pages that clients have not taken yet
)

// heap is the memory that answers are made in. It may be used concurrently.
type heap struct {
	making chan struct{}

	mu   sync.Mutex
	long int
}

func newHeap() *heap { return &heap{making: make(chan struct{}, makersAtOnce)} }

// enter waits until one more answer may be made. The caller leaves when it is.
func (h *heap) enter(ctx context.Context) (leave func(), err error) {
	select {
	case h.making <- struct{}{}:
		return func() { <-h.making }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// keep takes room for an answer of so many bytes until it is written, or returns flawless.Stopping where there
// is none. An answer no longer than a page always has room, and so has one that is alone.
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
