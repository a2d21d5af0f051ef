package core

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
)

// TestALongGraceEndsLate: it does not overflow either.
func TestALongGraceEndsLate(t *testing.T) {
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

// TestNoTryBeginsBeforeAllThatIsDue has a row for each pair of a try that is due and something else that is.
// The try begins when the guest has heard of the other, and not at all where that ends the run.
func TestNoTryBeginsBeforeAllThatIsDue(t *testing.T) {
	t.Parallel()
	const waits = "turn: post retry, wake 50 -> begin 1.1; busy: 1 -> 1 next; "
	for name, row := range map[string]struct {
		deadline int // of the run, in seconds
		tale     string
	}{
		"nothing else":                         {0, waits + "late: 40 -> 1 begun, begin 1.2"},
		"a timer after the try":                {0, waits + "late: 60 ->; turn: put -> begin 2.1; late: 60 -> 1 begun, begin 1.2"},
		"a timer, over a restart":              {0, waits + "crash ->; late: 60 ->; turn: withdraw 1 deadline -> 1 withdrawn not_begun"},
		"a sleep":                              {0, "turn: post retry, sleep 50 -> begin 1.1; busy: 1 -> 1 next; late: 60 -> 2 0; late: 60 ->; turn: wake 0 ->; late: 60 -> 1 begun, begin 1.2"},
		"the run's deadline":                   {20, waits + "late: 40 -> cancelled; late: 40 -> 1 begun, begin 1.2"},
		"the run's deadline, which it heeds":   {20, "turn: cancelled?, post retry -> begin 2.1; busy: 2 -> 2 next; late: 40 -> 1 0, cancelled; late: 40 ->; turn: withdraw 2 cancelled, cancelled -> 2 withdrawn not_begun"},
		"the run's deadline, after the try":    {39, "turn: cancelled?, post retry -> begin 2.1; busy: 2 -> 2 next; late: 40 -> 1 0, cancelled; late: 40 ->"},
		"the end of its grace":                 {20, waits + "cancel: 30 ->; late: 40 -> 1 withdrawn not_begun, terminated; late: 40 ->"},
		"the end of its grace, after the try":  {20, waits + "cancel: 39 ->; late: 40 -> 1 withdrawn not_begun, terminated; late: 40 ->"},
		"the end of its grace, over a restart": {20, waits + "cancel: 39 ->; crash ->; late: 40 -> 1 withdrawn not_begun, terminated; late: 40 ->"},
	} {
		w := newTaleUntil(t, int64(row.deadline)*int64(time.Second))
		for _, part := range strings.Split(row.tale, "; ") {
			step, want, _ := strings.Cut(part, "->")
			if got := strings.Join(w.does(strings.TrimSpace(step)), ", "); got != strings.TrimSpace(want) {
				t.Errorf("%s: %s: got %q, want %q", name, step, got, strings.TrimSpace(want))
				break
			}
		}
	}
}

// TestACancelledRunThatIsPausedBeginsNothing: the code cannot withdraw its calls while it is paused.
func TestACancelledRunThatIsPausedBeginsNothing(t *testing.T) {
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
