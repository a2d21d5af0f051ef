package flawless

import (
	"context"
	"runtime"
	"sync"
)

// waiter is a goroutine that waits for the answer of a call. It is woken through woken, which takes
// one value at most.
type waiter struct {
	call  int32
	own   bool      // it waits under the workflow's context, too, or one with its Done channel
	woken chan bool // whether the answer is there
	next  *waiter
}

// waiters are those there are, oldest first. The engine hands answers over while the guest is
// quiescent; deliver looks for them when it goes on.
var waiters struct {
	sync.Mutex
	first, last *waiter
	spare       *waiter         // nobody waits with them
	done        <-chan struct{} // of the workflow's context
	cancelled   int32           // the call that tells of a cancellation, 0 where there is none
	cancel      context.CancelCauseFunc
}

// park waits until the answer of a call is there or ctx ends. It returns false where the answer may not
// be there.
func park(ctx context.Context, call int32) bool {
	waiters.Lock()
	return parked(ctx, call)
}

// parked is park for one who has the lock of waiters, and gives that back.
func parked(ctx context.Context, call int32) bool {
	done := ctx.Done()
	if ctx.Err() != nil { // whoever ended it has woken those that waited then
		waiters.Unlock()
		return false
	}
	if alone() {
		waiters.Unlock() // for deliver
		for rest() {
			if answered(call) {
				return true
			}
			if ctx.Err() != nil {
				runtime.Gosched() // after what others do at its end
				return false
			}
		}
		waiters.Lock()
	}
	w := waiters.spare
	if w == nil {
		w = &waiter{woken: make(chan bool, 1)}
	} else {
		waiters.spare, w.next = w.next, nil
	}
	w.call, w.own = call, done != nil && done == waiters.done
	if waiters.last == nil {
		waiters.first = w
	} else {
		waiters.last.next = w
	}
	waiters.last = w
	waiters.Unlock()
	there := false
	if done == nil || w.own {
		there = <-w.woken
		waiters.Lock()
	} else {
		select {
		case there = <-w.woken:
			waiters.Lock()
		case <-done:
			waiters.Lock()
			drop(func(x *waiter) bool { return x == w })
			select {
			case there = <-w.woken:
			default:
			}
		}
	}
	w.next, waiters.spare = waiters.spare, w
	waiters.Unlock()
	return there
}

// arrives waits until the answer of the receiver's call is there, whichever that is by then, or ctx ends,
// and tells whether it is there.
func (r *receiver) arrives(ctx context.Context) bool {
	waiters.Lock()
	if call := int32(r.call); answered(call) {
		waiters.Unlock()
		return true
	} else if parked(ctx, call) {
		return true
	}
	return answered(int32(r.call))
}

// passOn gives the call of the first receiver to the second, that of the second to the third, and returns
// the last one's.
func passOn(all []*receiver) int {
	waiters.Lock()
	defer waiters.Unlock()
	call := all[0].call
	for _, r := range all[1:] {
		for w := waiters.first; w != nil; w = w.next {
			if w.call == int32(r.call) {
				w.call = int32(call)
			}
		}
		r.call, call = call, r.call
	}
	return call
}

// drop takes waiters out of the list. The caller holds its lock.
func drop(which func(*waiter) bool) {
	at := &waiters.first
	waiters.last = nil
	for w := *at; w != nil; w = *at {
		if which(w) {
			*at = w.next
			continue
		}
		waiters.last = w
		at = &w.next
	}
}

// deliver wakes those whose answer has come.
func deliver() {
	waiters.Lock()
	defer waiters.Unlock()
	drop(func(w *waiter) bool {
		if !answered(w.call) {
			return false
		}
		w.woken <- true
		return true
	})
	if waiters.cancelled > 0 && answered(waiters.cancelled) {
		cancelRun(waiters.cancelled)
		waiters.cancelled = 0
	}
}

// cancelRun ends the workflow's context and wakes those that wait under it.
func cancelRun(call int32) {
	h, err := readHead(call)
	if err != nil {
		h.note = err.Error()
	}
	runCancelled.Store(true)
	waiters.cancel(&Cancelled{By: h.by, Note: h.note})
	drop(func(w *waiter) bool {
		if w.own {
			w.woken <- false
		}
		return w.own
	})
}
