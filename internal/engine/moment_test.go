package engine

import (
	"math"
	"testing"
	"time"
)

// TestMomentsDoNotOverflow: a deadline in a far future is not one of the past, and a long grace ends late.
func TestMomentsDoNotOverflow(t *testing.T) {
	t.Parallel()
	for at, want := range map[time.Time]int64{
		{}: 0,
		time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC): math.MaxInt64,
		time.Date(2262, 12, 31, 0, 0, 0, 0, time.UTC): math.MaxInt64,
		time.Date(1500, 1, 1, 0, 0, 0, 0, time.UTC):   1,
		time.Unix(7, 9): 7_000_000_009,
	} {
		if got := Moment(at); got != want {
			t.Errorf("%v is %d, want %d", at, got, want)
		}
	}
}
