package pebble

import (
	"context"
	"sync"
)

// gate lets readers through when what they saw is on stable storage. Batches are numbered in the
// order in which they lie in the log, so that one number says which are.
type gate struct {
	mu     sync.Mutex
	synced uint64
	err    error         // why nothing more will be synced
	moved  chan struct{} // closed when one of the two changes; nil while nobody waits
	queue  int           // how many wait for that
}

// pass says that all batches up to n are synced, unless a sync has failed.
func (g *gate) pass(n uint64) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.synced >= n {
		return nil
	}
	if g.err != nil {
		return g.err
	}
	g.synced = n
	g.wake()
	return nil
}

// fail says that no more batches will be synced.
func (g *gate) fail(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err == nil {
		g.err = err
		g.wake()
	}
}

func (g *gate) wake() {
	if g.moved != nil {
		close(g.moved)
		g.moved, g.queue = nil, 0
	}
}

// wait returns when all batches up to n are synced, or can never be.
func (g *gate) wait(ctx context.Context, n uint64) error {
	for {
		g.mu.Lock()
		if g.synced >= n {
			g.mu.Unlock()
			return nil
		}
		if g.err != nil {
			g.mu.Unlock()
			return g.err
		}
		if g.moved == nil {
			g.moved = make(chan struct{})
		}
		moved := g.moved
		g.queue++
		g.mu.Unlock()
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
