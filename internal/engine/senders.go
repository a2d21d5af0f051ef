package engine

import (
	"errors"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/core"
)

// forgetSenders has a run forget the runs that sent messages to it and can never repeat one, before they become part of
// another image. It looks only when there are twice as many as were left the last time, so a message costs the same
// however many runs send. The driver calls it.
func (r *run) forgetSenders() {
	r.mu.Lock()
	if r.s.CountSenders() <= max(core.MaxSenders, 2*r.senders) {
		r.mu.Unlock()
		return
	}
	all := r.s.Senders()
	r.mu.Unlock()
	for id, call := range all {
		if !r.e.maySend(id) {
			r.mu.Lock()
			r.s.ForgetSender(id, call)
			r.mu.Unlock()
		}
	}
	r.mu.Lock()
	r.senders = r.s.CountSenders()
	r.mu.Unlock()
}

// maySend tells whether a run that sent a message may send one, or repeat it after a crash. One that has ended and has no
// open call may not, nor one that was removed after that: its id is not given away again.
func (e *Engine) maySend(id string) bool {
	h, err := e.store.Head(e.performCtx, id)
	if err != nil {
		return !errors.Is(err, flawless.NotFound)
	}
	return !h.Run.Status.Ended() || h.Active
}
