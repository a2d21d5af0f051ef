package live

import (
	goruntime "runtime"
	"testing"
	"time"
)

// TestWakeDueWaitsForTheRun wakes a run whose driver has written and cannot go on until proceed is called.
func TestWakeDueWaitsForTheRun(t *testing.T) {
	t.Parallel()
	h := open(t, 0, number)
	r, proceed := createBlocked(t, h)
	defer r.Release()
	h.WakeDue("r", time.Nanosecond) // a run that takes long is not waited for
	r.mu.Lock()
	if !r.driving {
		t.Error("the run has no driver any more")
	}
	r.kick = false
	r.mu.Unlock()
	go func() {
		defer proceed()
		for woken := false; !woken; goruntime.Gosched() {
			r.mu.Lock()
			woken = r.kick
			r.mu.Unlock()
		}
	}()
	h.WakeDue("r", time.Hour)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.driving || r.written == 0 {
		t.Errorf("WakeDue has returned while the run is driven (%v), after %d writes", r.driving, r.written)
	}
}
