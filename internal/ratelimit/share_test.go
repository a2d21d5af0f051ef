package ratelimit

import (
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
)

// TestReturnedPermitIsGrantedAgain: all permits that are reserved are taken, and some are given back after it was seen that
// none is left.
func TestReturnedPermitIsGrantedAgain(t *testing.T) {
	t.Parallel()
	const burst = 4
	one := newLimit(flawless.Limit{Host: "h", Count: 5, PeriodMS: time.Hour.Milliseconds(), Burst: burst})
	interval := int64(one.Interval())
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano()
	one.won(span{now, now + burst*interval}, now)
	take := func(want int) {
		t.Helper()
		got := 0
		for one.pass(now) {
			got++
		}
		if got != want {
			t.Errorf("%d permits were granted, want %d", got, want)
		}
	}
	take(burst)
	one.used -= 2 * interval
	take(2)
	now += burst * interval
	one.used -= interval
	take(0)
	if len(one.spans) != 0 {
		t.Errorf("%d spans are kept after their time", len(one.spans))
	}
}
