package core

import (
	"cmp"
	"slices"

	"github.com/flawless-engine/flawless"
)

// MaxBatch is how many answers a turn delivers, and how many due entries are written at once. It is far below what a
// record may hold; the others follow in the next batch.
const MaxBatch = flawless.MaxItems / 16

// IsBehind reports whether something is due that the guest has not seen yet: an answer, or one of its own timers. The
// guest may react by withdrawing a call, so no attempt begins until it has caught up. After downtime or a pause, a
// retry and a later deadline may both be overdue. An attempt that began between them would get a full time-out although
// the deadline has passed.
func (s *State) IsBehind(now int64) bool {
	return s.status == "" && (len(s.ready) > 0 || s.wake != 0 && s.wake <= now)
}

// Fire returns the entries for everything that is due, in order of time. Answers, cancellations and the end of the run
// come before attempts: an attempt begins only if nothing else is due and the guest has seen everything that was.
func (s *State) Fire(now int64) (out []flawless.Entry) {
	if soonest := s.NextWake(); soonest == 0 || soonest > now {
		return nil
	}
	type firing struct {
		due int64
		e   flawless.Entry
	}
	var all []firing
	at := max(now, s.at)
	for _, c := range s.open.upTo(due, now) {
		all = append(all, firing{c.dueAt, flawless.Entry{At: at, Arrival: &flawless.Arrival{Answer: c.dueAnswer}}})
	}
	if s.status == "" {
		if end := s.cancelDeadline(); end != 0 && end <= now {
			all = append(all, firing{end, flawless.Entry{At: at, End: s.graceEnd()}})
		} else if d := s.start.Deadline; d != 0 && d <= now && s.cancel == nil {
			all = append(all, firing{d, flawless.Entry{At: at, Cancel: s.deadlineCancel(at)}})
		}
	}
	if len(all) == 0 && s.held == nil && !s.IsBehind(now) {
		for _, c := range s.open.upTo(next, now) {
			all = append(all, firing{c.nextAt, flawless.Entry{At: at, Attempt: &flawless.Attempt{Call: c.N, N: c.attempt + 1, Begun: true}}})
		}
	}
	slices.SortStableFunc(all, func(a, b firing) int { return cmp.Compare(a.due, b.due) })
	for _, f := range all[:min(len(all), MaxBatch)] {
		if out = append(out, f.e); f.e.End != nil {
			break // everything due later is void
		}
	}
	return out
}

// NextWake returns the time at which something fires next, 0 for never.
func (s *State) NextWake() int64 {
	var w int64
	earlier := func(t int64) {
		if t != 0 && (w == 0 || t < w) {
			w = t
		}
	}
	if s.status == "" {
		if s.paused == nil && s.held == nil && !s.isUnresolved() {
			earlier(s.wake)
		}
		if s.cancel == nil {
			earlier(s.start.Deadline)
		}
		earlier(s.cancelDeadline())
	}
	earlier(s.open.first(due))
	if soonest := s.open.first(next); s.held == nil && !s.IsBehind(soonest) {
		earlier(soonest)
	}
	return w
}
