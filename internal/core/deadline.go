package core

import (
	"cmp"
	"math"
	"time"

	"github.com/flawless-engine/flawless"
)

// addTime returns at+by, or the last time there is if that overflows.
func addTime(at, by int64) int64 {
	if by > math.MaxInt64-at {
		return math.MaxInt64
	}
	return at + by
}

// defaultGrace is how long a run may go on after its deadline to clean up.
const defaultGrace = time.Minute

// cancelDeadline returns when a cancelled run is terminated, 0 for never.
func (s *State) cancelDeadline() int64 {
	if s.cancel == nil {
		return 0
	}
	return s.cancel.Deadline
}

// deadlineCancel returns the cancellation of a run at its deadline.
func (s *State) deadlineCancel(at int64) *flawless.Cancel {
	return &flawless.Cancel{Who: "its deadline", Note: "the deadline of the run has passed", Deadline: addTime(at, cmp.Or(s.start.Grace, int64(defaultGrace)))}
}

// graceEnd returns the end of a run that did not end by itself in time.
func (s *State) graceEnd() *flawless.End {
	return &flawless.End{Status: flawless.Terminated, Who: s.cancel.Who, Failure: s.withOpenSteps(flawless.Failure{Kind: "deadline",
		Message: "cancelled by " + NameOf(s.cancel.Who) + ", and had not ended when its grace period was over"})}
}
