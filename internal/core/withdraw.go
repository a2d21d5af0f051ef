package core

import (
	"fmt"
	"slices"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
)

// This file decides what becomes of calls that nobody waits for any more, because the code has withdrawn them or the
// run has ended.

// withdrawal is a call to be answered as withdrawn, and how.
type withdrawal struct {
	call         int
	reason, text string
}

// stepWithdraw applies the withdrawal of a call by the code. Calls numbered above before were made in the same turn. A
// call that has been answered is not answered again.
func (s *State) stepWithdraw(h effect.WithdrawHead, before int) {
	c := s.open.edit(h.Call)
	if c != nil && c.invalid == nil && c.Kind == effect.Receive && !s.IsWithdrawing(c.N) {
		s.markWithdrawn(c, withdrawal{c.N, effect.NotBegun, "withdrawn before a message came: " + withdrawalCause(h.Why)})
		return
	}
	if c == nil || c.invalid != nil || c.kind.Perform == nil || c.unknownReason != "" || s.IsWithdrawing(c.N) || slices.Contains(s.toTell, c.N) {
		return
	}
	// While steps of a saga can still be undone, an undo must not overtake any call, even one that was not made with
	// the context of a step.
	c.withdrawnWhy, c.settle = h.Why, h.Settle || len(s.steps) > 0
	switch inFlight := c.N <= before && c.nextAt == 0 && !c.awaitsPermit; {
	case c.fresh && h.Why == effect.WhyDeadline:
		// The time before this attempt began, or begins, was downtime or a person's time to think. The deadline counted
		// it and the call does not: the attempt has its full time-out.
	case !inFlight && !c.safeToRepeat():
		// It waits for a retry, and an earlier attempt may have taken effect. Code that got its context's error would
		// make the call again, under another key.
	case !inFlight:
		s.markWithdrawn(c, withdrawnUnbegun(c, before, withdrawalCause(h.Why)))
	case c.policy.Idempotent && !c.settle:
		s.markWithdrawn(c, withdrawal{c.N, effect.Abandoned,
			fmt.Sprintf("withdrawn during attempt %d, without waiting for its outcome: %s", c.attempt, withdrawalCause(h.Why))})
	}
}

// markWithdrawn has a call answered as withdrawn. edit must have returned the call.
func (s *State) markWithdrawn(c *OpenCall, w withdrawal) {
	c.withdrawing = true
	s.withdrawals = append(s.withdrawals, w)
}

// unmarkWithdrawn removes a call that has been answered from the withdrawals. They are answered in order.
func (s *State) unmarkWithdrawn(call int) {
	switch i := slices.IndexFunc(s.withdrawals, func(w withdrawal) bool { return w.call == call }); {
	case i == 0:
		s.withdrawals = s.withdrawals[1:]
	case i > 0:
		s.withdrawals = slices.Delete(s.withdrawals, i, i+1)
	}
}

// withdrawnUnbegun returns the withdrawal of a call that has no attempt in flight.
func withdrawnUnbegun(c *OpenCall, before int, because string) withdrawal {
	text := "withdrawn before it began: " + because
	if c.N <= before && c.attempt > 0 {
		text = fmt.Sprintf("withdrawn before attempt %d began: %s", c.attempt+1, because)
	}
	if c.suspectAt != 0 { // never tell code that a call had no effect if an attempt may have had one
		return withdrawal{c.N, effect.Abandoned, text + fmt.Sprintf("; an attempt at %s was sent and may have taken effect", formatTime(c.suspectAt))}
	}
	return withdrawal{c.N, effect.NotBegun, text}
}

// withdrawnEntry returns the entry that answers a withdrawn call. The outcome of one that may have taken effect and
// must not be repeated is unknown instead.
func (s *State) withdrawnEntry(w withdrawal) flawless.Entry {
	switch c := s.open.all[w.call]; {
	case c == nil, c.safeToRepeat():
	case c.inconclusive && c.lastStatusInconclusive(): // what is known is its last status, as if it had not been retried
		return s.giveUp(c, flawless.Entry{At: s.at}, w.text)
	default:
		return s.unknownOutcome(c, flawless.Entry{At: s.at}, w.text, "", 0, nil)
	}
	return s.ArrivalEntry(effect.WithdrawnAnswer(w.call, w.reason, w.text), nil, w.text)
}

// WithdrawnEntries returns the answers of all calls that are to be answered as withdrawn.
func (s *State) WithdrawnEntries() (out []flawless.Entry) {
	for _, w := range s.withdrawals {
		out = append(out, s.withdrawnEntry(w))
	}
	return out
}

// ClearUnknown marks the outcome of a call as known after all. It is for replays that try out a different future.
func (s *State) ClearUnknown(call int) {
	if c := s.open.edit(call); c != nil {
		c.unknownReason = ""
		s.open.reindex(&s.mail)
	}
}

// withdrawWaiting returns the entries that withdraw every call that waits for a permit or a retry.
func (s *State) withdrawWaiting(now int64, because string) (out []flawless.Entry) {
	for _, c := range s.OpenCalls() {
		if c.invalid == nil && c.kind.Perform != nil && c.unknownReason == "" && (c.nextAt != 0 || c.awaitsPermit) {
			e := s.withdrawnEntry(withdrawnUnbegun(c, s.callsMade, because))
			e.At = max(now, s.at)
			out = append(out, e)
		}
	}
	return out
}

// IsWithdrawing reports whether a call is to be answered as withdrawn.
func (s *State) IsWithdrawing(call int) bool {
	c := s.open.all[call]
	return c != nil && c.withdrawing
}

// mayBegin reports whether a call stays open when its run ends: an attempt is in flight, or may still begin. A run that
// returned begins each of its calls once, and once more if a restart or a person asked for it. A run that ended in
// another way begins nothing.
func (s *State) mayBegin(c *OpenCall, before int) bool {
	switch {
	case s.IsWithdrawing(c.N):
		return true // it is being withdrawn
	case c.unknownReason != "":
		return true
	case s.status != flawless.Completed:
		return c.N <= before && c.nextAt == 0 && !c.awaitsPermit
	}
	return c.fresh || c.nextAt == 0 && (!c.awaitsPermit || c.attempt == 0)
}

// staysFresh reports whether, after an entry about it, an attempt still makes up for one that a restart cut short, or
// is one that a person asked for.
func (c *OpenCall) staysFresh(a *flawless.Attempt) bool {
	switch {
	case a.Begun && a.Result != "": // only a restart gives a reason when it begins one
		return true
	case a.Next != 0:
		return a.Anew
	}
	return c.fresh // it begins, waits for a permit, or has got one
}

// withdrawalCause says why the code has withdrawn a call.
func withdrawalCause(why string) string {
	if why == effect.WhyDropped {
		return "the code dropped it"
	}
	return "the context ended (" + why + ")"
}

// endedText says how a run ended.
func endedText(status flawless.Status) string {
	switch status {
	case flawless.Completed:
		return "has completed"
	case flawless.Failed:
		return "has failed"
	}
	return "was " + string(status)
}
