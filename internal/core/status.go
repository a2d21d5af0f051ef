package core

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
)

// Status returns the status of the run. Whether it is running is known only to the engine.
func (s *State) Status() flawless.Status {
	switch {
	case s.status != "":
		return s.status
	case s.isUnresolved():
		return flawless.Unresolved
	case s.paused != nil || s.held != nil:
		return flawless.Paused
	case !s.HasBegun() && (s.turns == 0 || len(s.ready) > 0 || s.start.Queue != nil):
		return flawless.Pending
	}
	return flawless.Waiting
}

// HasBegun reports whether the run has taken a turn of its own. The turns that a fork shares belong to another run, so
// a fork queues for admission like any other run.
func (s *State) HasBegun() bool {
	return s.turns > 0 && (s.start.Origin == nil || s.turns > s.start.Origin.Turn)
}

// Summary returns the run as people see it.
func (s *State) Summary() flawless.Run {
	r := flawless.Run{ID: s.id, Module: s.start.Module, Digest: s.start.Digest, Workflow: s.start.Workflow,
		Status: s.Status(), Created: time.Unix(0, s.start.Time), Failure: s.failure,
		Turns: s.turns, Calls: s.callsMade, Cost: s.cost, Output: s.output, CancelRequested: s.cancel != nil,
		Pause: cmp.Or(s.held, s.paused), Parent: s.start.Parent, Of: s.start.Of, Mail: s.mail.count(), Labels: s.labels, Queue: s.start.Queue, Retrying: s.Retrying()}
	if s.start.Deadline != 0 {
		at := time.Unix(0, s.start.Deadline)
		r.Deadline = &at
	}
	if s.status != "" {
		at := time.Unix(0, s.endedAt)
		r.Ended = &at
	} else {
		r.RetryingCalls = s.open.count[retrying]
	}
	if n := s.NextWake(); n != 0 && s.status == "" {
		at := time.Unix(0, n)
		r.Wake = &at
	}
	r.Unresolved = s.open.unresolvedCalls()
	return r
}

// WantsTurn reports whether the guest has something to compute.
func (s *State) WantsTurn(now int64) bool {
	if s.status != "" || s.paused != nil || s.held != nil || s.isUnresolved() {
		return false
	}
	return s.turns == 0 || len(s.ready) > 0 || s.wake != 0 && s.wake <= now
}

func (s *State) isUnresolved() bool { return s.open.count[unresolved] > 0 }

// IsStuck reports whether nothing can wake the guest after this turn, which has not been applied yet. A valid note has
// no answer, so it wakes nobody.
func (s *State) IsStuck(t *flawless.Turn) bool {
	if t.Wake != 0 || len(s.ready) > len(t.Answers) {
		return false
	}
	mayWake := func(k *effect.Kind) bool { return k == nil || !k.Idle || s.cancel != nil }
	if s.open.count[awaited] > 0 || s.cancel != nil && len(s.open.all) > 0 {
		return false
	}
	return !slices.ContainsFunc(t.Calls, func(c flawless.Call) bool {
		k := s.kinds[c.Kind]
		note := k != nil && k.Note && s.parseCall(c, t.Time).invalid == nil
		return !note && mayWake(k)
	})
}

// Active reports whether an owner must look at the run after a restart, whatever the time.
func (s *State) Active() bool {
	if s.status == "" && (s.turns == 0 || len(s.ready) > 0) {
		return true
	}
	return s.open.count[owned] > 0
}

// ID returns the id of the run.
func (s *State) ID() string { return s.id }

// Outcome returns how the run ended, or "" while it is open.
func (s *State) Outcome() flawless.Status { return s.status }

// Start returns how the run began, with the digest of the code that it has now.
func (s *State) Start() flawless.Start { return s.start }

// Turns returns the number of turns taken.
func (s *State) Turns() int { return s.turns }

// Cost returns the cost of all turns, in units.
func (s *State) Cost() uint64 { return s.cost }

// At returns the time of the newest entry, in Unix nanoseconds.
func (s *State) At() int64 { return s.at }

// Wake returns the time of the guest's next timer, 0 for none.
func (s *State) Wake() int64 { return s.wake }

// Ready returns the answers that the guest has not received, in the order in which they arrived. The caller must not
// change them.
func (s *State) Ready() []flawless.Answer { return s.ready }

// Unread returns the messages that the run has not received, oldest first.
func (s *State) Unread() []flawless.Message { return s.mail.list() }

// CancelRequest returns the request to cancel the run, or nil.
func (s *State) CancelRequest() *flawless.Cancel { return s.cancel }

// Held returns why the run is held, or nil.
func (s *State) Held() *flawless.Pause { return s.held }

// Paused returns why the run is paused, or nil.
func (s *State) Paused() *flawless.Pause { return s.paused }

// Self returns the identity that the guest was told.
func (s *State) Self() flawless.Self { return s.self }

// FormerIDs returns the ids of the runs whose past this one shares; its guest may still know them.
func (s *State) FormerIDs() []string { return s.formerIDs }

// PastCalls returns the number of the last call that was made by the run whose past this one shares, 0 if there is
// none.
func (s *State) PastCalls() int { return s.pastCalls }

// Labels returns the labels of the run. The caller must not change them.
func (s *State) Labels() map[string]string { return s.labels }

// OpenSteps returns the saga steps that were taken and not undone. The caller must not change them.
func (s *State) OpenSteps() []flawless.Step { return s.steps }

// Effect returns the kind of the call, or nil if there is no such kind.
func (c *OpenCall) Effect() *effect.Kind { return c.kind }

// Bad returns why the call is invalid, or nil.
func (c *OpenCall) Bad() error { return c.invalid }

// InvalidAnswer returns the answer of an invalid call. Its text leaves out the class of the error, which is its kind.
func (c *OpenCall) InvalidAnswer() flawless.Answer {
	return effect.ErrorAnswer(c.N, "invalid", strings.TrimSuffix(c.invalid.Error(), ": "+string(flawless.Invalid)))
}

// MadeAt returns the time of the turn that made the call, in Unix nanoseconds.
func (c *OpenCall) MadeAt() int64 { return c.madeAt }

// Policy returns how the call is to be carried out.
func (c *OpenCall) Policy() effect.Policy { return c.policy }

// Attempts returns the number of attempts begun.
func (c *OpenCall) Attempts() int { return c.attempt }

// Waits reports whether the next attempt waits for a rate-limit permit.
func (c *OpenCall) Waits() bool { return c.awaitsPermit }

// Child returns the run that answers the call instead of a child of its own, or "".
func (c *OpenCall) Child() string { return c.child }

// UnknownReason returns why the outcome of the call is unknown, or "" if it is not.
func (c *OpenCall) UnknownReason() string { return c.unknownReason }
