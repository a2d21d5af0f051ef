package turn

import (
	"context"
	"runtime"
	"sync"

	"github.com/flawless-engine/flawless/sdk/go/internal/abi"
	"github.com/flawless-engine/flawless/sdk/go/internal/wire"
)

// waiter is a goroutine that waits for the answer of a call.
type waiter struct {
	call  int
	own   bool      // it waits under the workflow's context, or one with the same Done channel
	woken chan bool // gets at most one value: whether the answer is there
	next  *waiter
}

// waiters is the list of waiters, oldest first. The engine delivers answers while the guest is quiescent; deliver wakes
// the waiters at the start of the next turn.
var waiters struct {
	sync.Mutex
	first, last *waiter
	spare       *waiter         // unused ones, for reuse
	done        <-chan struct{} // of the workflow's context
	cancelled   int             // the call that is answered when the run is cancelled; 0 if there is none
	cancel      func(wire.Head) // ends the workflow's context
}

// OnCancel calls cancel, which must end ctx, when the given call is answered. ctx is the context of the workflow.
func OnCancel(ctx context.Context, call int, cancel func(wire.Head)) {
	waiters.done, waiters.cancelled, waiters.cancel = ctx.Done(), call, cancel
}

// Wait waits until the answer of a call is there or ctx ends, and reports whether it is there. The answer is kept: take
// it, or wait again.
func Wait(ctx context.Context, call int) bool { return abi.Answered(call) || WaitNew(ctx, call) }

// WaitNew is [Wait] for a call that cannot have an answer yet; it saves asking for it.
func WaitNew(ctx context.Context, call int) bool { return park(ctx, call) || abi.Answered(call) }

// Take waits for the answer of a call, takes it and puts its head into h.
func Take(call int, h *wire.Head) ([]byte, error) {
	for !WaitNew(context.Background(), call) {
	}
	return abi.Take(call, h)
}

// park waits until the answer of a call is there or ctx ends. If it returns false the answer may be there or not.
func park(ctx context.Context, call int) bool {
	waiters.Lock()
	return parkLocked(ctx, call)
}

// parkLocked is park for a caller that holds the lock of waiters; it releases the lock.
func parkLocked(ctx context.Context, call int) bool {
	done := ctx.Done()
	if ctx.Err() != nil { // its end has woken the waiters of that time
		waiters.Unlock()
		return false
	}
	if isAlone() {
		waiters.Unlock() // for deliver
		for Rest() {
			if abi.Answered(call) {
				return true
			}
			if ctx.Err() != nil {
				runtime.Gosched() // let other goroutines react to its end first
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

// Receiver is a goroutine that waits for a message. Its call may change while it waits, see [PassOn].
type Receiver struct{ Call int }

// Wait waits until the answer of the receiver's call is there, whichever call that is by then, or ctx ends. It reports
// whether the answer is there.
func (r *Receiver) Wait(ctx context.Context) bool {
	waiters.Lock()
	if call := r.Call; abi.Answered(call) {
		waiters.Unlock()
		return true
	} else if parkLocked(ctx, call) {
		return true
	}
	return abi.Answered(r.Call)
}

// PassOn gives the call of the first receiver to the second, that of the second to the third and so on, and returns
// the call of the last one.
func PassOn(all []*Receiver) int {
	waiters.Lock()
	defer waiters.Unlock()
	call := all[0].Call
	for _, r := range all[1:] {
		for w := waiters.first; w != nil; w = w.next {
			if w.call == r.Call {
				w.call = call
			}
		}
		r.Call, call = call, r.Call
	}
	return call
}

// drop removes waiters from the list. The caller holds the lock.
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

// deliver wakes the waiters whose answer is there.
func deliver() {
	waiters.Lock()
	defer waiters.Unlock()
	drop(func(w *waiter) bool {
		if !abi.Answered(w.call) {
			return false
		}
		w.woken <- true
		return true
	})
	if waiters.cancelled > 0 && abi.Answered(waiters.cancelled) {
		cancelRun(waiters.cancelled)
		waiters.cancelled = 0
	}
}

// cancelRun ends the workflow's context and wakes those who wait under it.
func cancelRun(call int) {
	h, err := abi.Head(call)
	if err != nil {
		h.Note = err.Error()
	}
	waiters.cancel(h)
	drop(func(w *waiter) bool {
		if w.own {
			w.woken <- false
		}
		return w.own
	})
}
