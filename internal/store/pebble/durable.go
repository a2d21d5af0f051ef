package pebble

import (
	"context"
	"sync"
)

// durable tracks which batches are on stable storage, and lets readers wait for what they have read. Batches are
// numbered in the order of the log, so one number is enough.
type durable struct {
	mu     sync.Mutex
	synced uint64
	err    error         // why no more batches will be synced
	moved  chan struct{} // closed when synced or err changes; nil while there are no waiters
	queue  int           // number of waiters
}

// pass records that all batches up to n are synced, unless a sync has failed.
func (d *durable) pass(n uint64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.synced >= n {
		return nil
	}
	if d.err != nil {
		return d.err
	}
	d.synced = n
	d.wake()
	return nil
}

// fail records that no more batches will be synced.
func (d *durable) fail(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err == nil {
		d.err = err
		d.wake()
	}
}

func (d *durable) wake() {
	if d.moved != nil {
		close(d.moved)
		d.moved, d.queue = nil, 0
	}
}

// wait waits until all batches up to n are synced. It returns an error if they never will be.
func (d *durable) wait(ctx context.Context, n uint64) error {
	for {
		d.mu.Lock()
		if d.synced >= n {
			d.mu.Unlock()
			return nil
		}
		if d.err != nil {
			d.mu.Unlock()
			return d.err
		}
		if d.moved == nil {
			d.moved = make(chan struct{})
		}
		moved := d.moved
		d.queue++
		d.mu.Unlock()
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
