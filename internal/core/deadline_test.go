package core

import (
	"math"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
)

// TestLongGraceDoesNotOverflow: the end of a long grace period is the last time there is.
func TestLongGraceDoesNotOverflow(t *testing.T) {
	t.Parallel()
	s := NewState("run", nil)
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano()
	stepped(t, s, flawless.Entry{At: now, Start: &flawless.Start{Time: now, Deadline: now, Grace: math.MaxInt64}})
	for _, e := range s.Fire(now) {
		stepped(t, s, e)
	}
	if s.cancel == nil || s.cancelDeadline() != math.MaxInt64 || len(s.Fire(now+1)) != 0 {
		t.Errorf("a run with a long grace is %+v", s.cancel)
	}
}

// TestPausedCancelledRunBeginsNothing: the code cannot withdraw its calls while it is paused.
func TestPausedCancelledRunBeginsNothing(t *testing.T) {
	t.Parallel()
	s := NewState("run", allKinds())
	for _, x := range []flawless.Entry{
		{At: 1, Start: &flawless.Start{Module: "m", Workflow: "w", Seed: make([]byte, 32), Time: 1}},
		{At: 1, Turn: &flawless.Turn{N: 1, Time: 1, Calls: []flawless.Call{{N: 1, Kind: "cancelled"},
			{N: 2, Kind: "http", Head: []byte(`{"method":"POST","url":"http://a.example/","retry":{"attempts":9,"statuses":[503]}}`)}}}},
		{At: 2, Attempt: &flawless.Attempt{Call: 2, N: 1, Result: "503", Next: 10}},
		{At: 3, Pause: &flawless.Pause{}},
		{At: 4, Cancel: &flawless.Cancel{}},
	} {
		stepped(t, s, x)
		for _, y := range s.Consequences() {
			stepped(t, s, y)
		}
	}
	if got := s.Fire(20); len(got) != 0 || s.NextWake() != 0 {
		t.Errorf("it fires %+v, next at %d", got, s.NextWake())
	}
}
