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
	maxEncoders = 2
	maxLong     = 256 << 20 // bytes of long pages that clients have not read yet
)

// budget limits the memory for answers. It may be used concurrently.
type budget struct {
	encoders chan struct{}

	mu   sync.Mutex
	long int
}

func newBudget() *budget { return &budget{encoders: make(chan struct{}, maxEncoders)} }

// enter waits until another answer may be encoded. The caller calls leave afterwards.
func (b *budget) enter(ctx context.Context) (leave func(), err error) {
	select {
	case b.encoders <- struct{}{}:
		return func() { <-b.encoders }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// keep reserves memory for an answer of a size until written is called, or returns [flawless.Stopping] if there is
// not enough. An answer of at most a page always fits, and so does any answer if it is the only one.
func (b *budget) keep(size int) (written func(), err error) {
	if size <= 2*maxPage {
		return func() {}, nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.long > 0 && b.long+size > maxLong {
		return nil, fmt.Errorf("the page has %d bytes, and %d bytes of large pages are waiting for slow clients: try again in a moment: %w", size, b.long, flawless.Stopping)
	}
	b.long += size
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.long -= size
	}, nil
}
