package core

import (
	"fmt"
	"slices"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
)

// This file is a part of the state of a run: what becomes of calls that nobody wants to wait for any
// more, because the code has withdrawn them or the run has ended. As core.go it decides and does
// nothing.

// withdrawn is a call that is to be answered as withdrawn, and how.
type withdrawal struct {
	call         int
	reason, text string
}

// withdraw takes in that the code has withdrawn a call. Calls behind number before were made in the
// same turn. A call that has an answer already gets no other one.
func (s *State) stepWithdraw(h effect.WithdrawHead, before int) {
	c := s.open.edit(h.Call)
	if c != nil && c.invalid == nil && c.Kind == effect.Receive && !s.IsWithdrawing(c.N) {
		s.markWithdrawn(c, withdrawal{c.N, effect.NotBegun, "withdrawn before a message came: " + withdrawalCause(h.Why)})
		return
	}
	if c == nil || c.invalid != nil || c.kind.Perform == nil || c.unknownReason != "" || s.IsWithdrawing(c.N) {
		return
	}
	// While steps of a saga can still be undone every call may be one that an undo must not overtake, also
	// where it was not made with the context of the step.
	c.withdrawnWhy, c.settle = h.Why, h.Settle || len(s.steps) > 0
	switch underWay := c.N <= before && c.nextAt == 0 && !c.awaitsPermit; {
	case c.fresh && h.Why == effect.WhyDeadline:
		// The time until this try began, or begins, was downtime, or a person's who thought about it. The
		// deadline counted that time and the call does not: the try has its whole time-out.
	case !underWay && !c.safeToRepeat():
		// It waits for its next try, and one before may have taken effect. Code that was told of the end of its
		// context would make the call anew, under another key.
	case !underWay:
		s.markWithdrawn(c, withdrawnUnbegun(c, before, withdrawalCause(h.Why)))
	case c.policy.Idempotent && !c.settle:
		s.markWithdrawn(c, withdrawal{c.N, effect.Abandoned,
			fmt.Sprintf("withdrawn while try %d was under way, whose outcome is not waited for: %s", c.attempt, withdrawalCause(h.Why))})
	}
}

// give has a call answered as withdrawn, which edit has returned.
func (s *State) markWithdrawn(c *OpenCall, w withdrawal) {
	c.withdrawing = true
	s.withdrawals = append(s.withdrawals, w)
}

// gave is called when a call is answered. Those that are answered as withdrawn are so in their order.
func (s *State) unmarkWithdrawn(call int) {
	switch i := slices.IndexFunc(s.withdrawals, func(w withdrawal) bool { return w.call == call }); {
	case i == 0:
		s.withdrawals = s.withdrawals[1:]
	case i > 0:
		s.withdrawals = slices.Delete(s.withdrawals, i, i+1)
	}
}

// notBegun says how a call that is not under way is withdrawn.
func withdrawnUnbegun(c *OpenCall, before int, because string) withdrawal {
	text := "withdrawn before it began: " + because
	if c.N <= before && c.attempt > 0 {
		text = fmt.Sprintf("withdrawn before try %d began: %s", c.attempt+1, because)
	}
	if c.suspectAt != 0 { // never tell code that a call had no effect where one try of it may have had
		return withdrawal{c.N, effect.Abandoned, text + fmt.Sprintf("; a try that began at %s was sent and may have taken effect", formatTime(c.suspectAt))}
	}
	return withdrawal{c.N, effect.NotBegun, text}
}

// answerWithdrawn is the entry of the answer of a withdrawn call. One that may have taken effect and must not
// be made again by anybody is in doubt instead.
func (s *State) withdrawnEntry(w withdrawal) flawless.Entry {
	switch c := s.open.all[w.call]; {
	case c == nil, c.safeToRepeat():
	case c.inconclusive && c.lastStatusInconclusive(): // what is known of it is its last status, as if it had not been tried again
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

// DropDoubt takes the doubt off a call: its outcome is known, in time. It is for runs that are tried out.
func (s *State) ClearUnknown(call int) {
	if c := s.open.edit(call); c != nil {
		c.unknownReason = ""
		s.open.reindex(&s.mail)
	}
}

// callOff returns the entries that withdraw every call which waits for its place or its next try.
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

// IsWithdrawing tells whether a call is to be answered as withdrawn.
func (s *State) IsWithdrawing(call int) bool {
	c := s.open.all[call]
	return c != nil && c.withdrawing
}

// mayBegin tells whether a call stays open when its run ends: its try is under way, or it may begin
// still. A run that returned begins each call once, and again where a restart or a person has said so.
// One that ended in another way begins nothing.
func (s *State) mayBegin(c *OpenCall, before int) bool {
	switch {
	case s.IsWithdrawing(c.N):
		return true // it gives way already
	case c.unknownReason != "":
		return true
	case s.status != flawless.Completed:
		return c.N <= before && c.nextAt == 0 && !c.awaitsPermit
	}
	return c.fresh || c.nextAt == 0 && (!c.awaitsPermit || c.attempt == 0)
}

// stillAnew tells whether a try makes up for one that a restart has cut short, or was asked for by a person, with
// the next entry about it.
func (c *OpenCall) staysFresh(a *flawless.Attempt) bool {
	switch {
	case a.Begun && a.Result != "": // only a restart says why it begins one
		return true
	case a.Next != 0:
		return a.Anew
	}
	return c.fresh // it begins, waits for its place, or has got it
}

// because is why the code has withdrawn a call.
func withdrawalCause(why string) string {
	if why == effect.WhyDropped {
		return "the code dropped it"
	}
	return "the context ended (" + why + ")"
}

// ended is how a run ended, for people.
func endedText(status flawless.Status) string {
	switch status {
	case flawless.Completed:
		return "has completed"
	case flawless.Failed:
		return "has failed"
	}
	return "was " + string(status)
}
