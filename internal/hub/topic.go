package hub

import (
	"sync"

	"github.com/flawless-engine/flawless"
)

// Topic notifies the followers of one run of durable changes.
type Topic struct {
	mu      sync.Mutex
	changed chan struct{} // closed at the next change
	ended   chan struct{} // closed at the end of the run, after end is set, and by close
	end     *flawless.Run
	rests   chan struct{} // closed while the run has ended or is unresolved, and by close
	rest    *flawless.Run // the run at that time
	closed  bool
	stale   bool // the herald has yet to wake the followers
	refs    int  // guarded by the hub's mu
}

// Changed returns a channel that is closed at the next change. Get it before you read the run.
func (t *Topic) Changed() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.changed
}

// Ended returns a channel that is closed when the run ends or the topic is closed.
func (t *Topic) Ended() <-chan struct{} { return t.ended }

// End returns the ended run, or nil if the topic has not seen its end.
func (t *Topic) End() *flawless.Run {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.end
}

// Resting returns the run if it has ended or is unresolved. Otherwise it returns a channel that is closed when it is,
// or when the topic is closed.
func (t *Topic) Resting() (*flawless.Run, <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.rest, t.rests
}

// Block stops all publishers of the run until release is called. Tests use it to create races.
func (t *Topic) Block() (release func()) {
	t.mu.Lock()
	return t.mu.Unlock
}

// wake wakes all followers.
func (t *Topic) wake() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.wakeLocked()
}

func (t *Topic) wakeLocked() {
	if t.stale = false; !t.closed {
		close(t.changed)
		t.changed = make(chan struct{})
	}
}

// leave makes the herald wake the followers.
func (t *Topic) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stale = true
}

// wakeStale wakes the followers for the herald.
func (t *Topic) wakeStale() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stale {
		t.wakeLocked()
	}
}

func (t *Topic) tell(run *flawless.Run) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return
	}
	if run.Status.Ended() && t.end == nil {
		t.end = run
		close(t.ended)
	}
	switch rests := run.Status.Ended() || run.Status == flawless.Unresolved; {
	case rests && t.rest == nil:
		t.rest = run
		close(t.rests)
	case !rests && t.rest != nil:
		t.rest, t.rests = nil, make(chan struct{})
	}
}

func (t *Topic) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.closed {
		t.closed = true
		close(t.changed)
		if t.end == nil {
			close(t.ended)
		}
		if t.rest == nil {
			close(t.rests)
		}
	}
}
