// Package budget limits the memory that a server uses for long answers: how many are encoded at a time, and how many
// bytes of them wait for slow clients.
package budget

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
// Limits of a [Budget].
const (
	MaxEncoders = 2
	free        = 2 << 20   // bytes of an answer that always fits
	MaxLong     = 256 << 20 // bytes of long pages that clients have not read yet
)

// Budget limits the memory for answers. It may be used concurrently.
type Budget struct {
	encoders chan struct{}

	mu   sync.Mutex
	long int
}

// New returns a budget of which nothing is used.
func New() *Budget { return &Budget{encoders: make(chan struct{}, MaxEncoders)} }

// Enter waits until another answer may be encoded. The caller calls leave afterwards.
func (b *Budget) Enter(ctx context.Context) (leave func(), err error) {
	select {
	case b.encoders <- struct{}{}:
		return func() { <-b.encoders }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Keep reserves memory for an answer of a size until written is called, or returns [flawless.Stopping] if there is
// not enough. An answer of at most 2 MiB always fits, and so does any answer if it is the only one.
func (b *Budget) Keep(size int) (written func(), err error) {
	if size <= free {
		return func() {}, nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.long > 0 && b.long+size > MaxLong {
		return nil, fmt.Errorf("the page has %d bytes, and %d bytes of large pages are waiting for slow clients: try again in a moment: %w", size, b.long, flawless.Stopping)
	}
	b.long += size
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.long -= size
	}, nil
}

// Used returns how many answers are being encoded, and how many bytes of long ones are reserved.
func (b *Budget) Used() (encoding, long int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.encoders), b.long
}
