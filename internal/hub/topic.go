package hub

import (
	"sync"

	"github.com/flawless-engine/flawless"
)

// Topic tells those who follow one run that something about it became durable.
type Topic struct {
	mu      sync.Mutex
	changed chan struct{} // closed at the next change
	ended   chan struct{} // closed at the run's end, when end is set, and when nothing more is told
	end     *flawless.Run
	rests   chan struct{} // closed while the run has ended or needs a person, and when nothing more is told
	rest    *flawless.Run // as it is then
	closed  bool
	stale   bool // the herald is to wake those who follow
	refs    int  // under the hub's mu
}

// Changed returns a channel that is closed at the next change. Get it before you read the run.
func (t *Topic) Changed() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.changed
}

// Ended returns a channel that is closed when the run has ended, or when nothing more is told.
func (t *Topic) Ended() <-chan struct{} { return t.ended }

// End returns the run as it ended, nil where that was not told.
func (t *Topic) End() *flawless.Run {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.end
}

// Resting returns the run where it has ended or needs a person, and else a channel that is closed when it does, or
// when nothing more is told.
func (t *Topic) Resting() (*flawless.Run, <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.rest, t.rests
}

// Block holds up everybody who tells of the run until release is called. It is for tests of what happens meanwhile.
func (t *Topic) Block() (release func()) {
	t.mu.Lock()
	return t.mu.Unlock
}

// wake has all who follow look at what has changed.
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

// leave leaves it to the herald to wake those who follow.
func (t *Topic) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stale = true
}

// wakeStale is what the herald does then.
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
