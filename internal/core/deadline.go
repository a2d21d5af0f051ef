package core

import (
	"cmp"
	"math"
	"time"

	"github.com/flawless-engine/flawless"
)

// later is a moment after another one, the last that there is where it would be after that.
func addTime(at, by int64) int64 {
	if by > math.MaxInt64-at {
		return math.MaxInt64
	}
	return at + by
}

// grace is how long a run may go on after its deadline, so that it can put things right.
const defaultGrace = time.Minute

// cancelDeadline is when a run is terminated that was asked to give up, 0 is never.
func (s *State) cancelDeadline() int64 {
	if s.cancel == nil {
		return 0
	}
	return s.cancel.Deadline
}

// deadlined is what a run is told at its deadline.
func (s *State) deadlineCancel(at int64) *flawless.Cancel {
	return &flawless.Cancel{Who: "its deadline", Note: "the time the run was given is over", Deadline: addTime(at, cmp.Or(s.start.Grace, int64(defaultGrace)))}
}

// tooLate ends a run that did not give up in time.
func (s *State) graceEnd() *flawless.End {
	return &flawless.End{Status: flawless.Terminated, Who: s.cancel.Who, Failure: s.withOpenSteps(flawless.Failure{Kind: "deadline",
		Message: "cancelled by " + Who(s.cancel.Who) + ", and had not ended when the time for it was over"})}
}
