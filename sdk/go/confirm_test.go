package flawless

import (
	"testing"
	"time"
)

// TestAConfirmationIsNotRepeatedWithoutAPause: a server that contradicts it is not asked in a busy loop, and not for
// ever.
func TestAConfirmationIsNotRepeatedWithoutAPause(t *testing.T) {
	t.Parallel()
	for round, want := range map[int]time.Duration{1: 0, 2: time.Second, 3: 2 * time.Second, 10: 256 * time.Second, 11: 5 * time.Minute, 12: 5 * time.Minute, 1 << 40: 5 * time.Minute} {
		if got := pauseAfter(round); got != want {
			t.Errorf("after round %d it waits %v, want %v", round, got, want)
		}
	}
	for _, row := range []struct {
		round, status int
		want          bool
	}{
		{1, 422, false}, // the first request may have been told from one of another run
		{2, 422, true},
		{2, 409, false},
		{2, 0, false},
	} {
		if got := contradicted(row.round, &Interrupted{Status: row.status}); got != row.want {
			t.Errorf("status %d in round %d: %v", row.status, row.round, got)
		}
	}
}
