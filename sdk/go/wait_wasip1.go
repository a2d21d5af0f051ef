package flawless

import (
	"context"
	"os"
	"sync"
	"time"
)

// waiters are the calls that wait under the workflow's own context, or one with its Done channel.
// Most do, and a list costs a fraction of what a context.AfterFunc for each would.
var waiters struct {
	sync.Mutex
	done  <-chan struct{} // of the workflow's context
	first *waiter
}

// waiter is a descriptor that is read until a context ends.
type waiter struct {
	file       *os.File
	prev, next *waiter
	stop       func() bool
}

// until makes reading w.file fail with os.ErrDeadlineExceeded once ctx ends. Forget must follow.
func (w *waiter) until(ctx context.Context) {
	done := ctx.Done()
	if done == nil {
		return
	}
	waiters.Lock()
	defer waiters.Unlock()
	if done != waiters.done {
		w.stop = context.AfterFunc(ctx, w.interrupt)
		return
	}
	if w.next = waiters.first; w.next != nil {
		w.next.prev = w
	}
	waiters.first = w
}

// forget takes back what until did.
func (w *waiter) forget() {
	if w.stop != nil {
		w.stop()
		return
	}
	waiters.Lock()
	defer waiters.Unlock()
	switch {
	case w.prev != nil:
		w.prev.next = w.next
	case waiters.first == w:
		waiters.first = w.next
	}
	if w.next != nil {
		w.next.prev = w.prev
	}
}

func (w *waiter) interrupt() { _ = w.file.SetReadDeadline(time.Unix(1, 0)) }

// interruptAll interrupts those that wait under the workflow's context, once it has ended.
func interruptAll() {
	waiters.Lock()
	defer waiters.Unlock()
	for w := waiters.first; w != nil; w = w.next {
		w.interrupt()
	}
}
