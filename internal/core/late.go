package core

import (
	"fmt"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
)

// This file is about calls of a server that has lost their run to another one while they were in flight: it stood still for
// longer than its lease, or was cut off from the database. The new owner takes their outcome for unknown. The old one may
// learn it all the same, and tells the new owner.

// markUnseen notes in entries that make the outcome of calls unknown that the owner before was not seen to stop.
func (s *State) markUnseen(entries []flawless.Entry) {
	for _, e := range entries {
		if e.Unknown != nil {
			e.Unknown.Unseen = s.open.all[e.Unknown.Call].attempt
		}
	}
}

// Learn returns the entries for the result of an attempt of an owner before, which has learned it after it had lost the run.
// The result counts as if it had arrived in time. It returns flawless.Conflict unless the outcome of exactly that attempt is
// unknown because its owner was not seen to stop: somebody may have decided about the call. With lapsed, that owner has not
// sent the request because it had lost the run, so the call is made now.
func (s *State) Learn(t Attempt, r effect.Result, lapsed bool, now int64, terms func(*OpenCall) Terms) ([]flawless.Entry, error) {
	c, why := s.open.all[t.Call], ""
	switch {
	case c == nil:
		why = "the call has been answered"
	case c.unknownReason == "":
		why = "its outcome is not unknown any more"
	case c.unseen == 0:
		why = "its outcome is unknown for another reason"
	case c.unseen != t.N:
		why = fmt.Sprintf("the outcome of attempt %d is what is unknown", c.unseen)
	case lapsed && r.Outcome == effect.NotSent && s.status == "":
		return []flawless.Entry{{At: max(now, s.at), Attempt: &flawless.Attempt{Call: c.N, N: c.attempt, Next: max(now, s.at), Anew: true,
			Result: r.Text + "; " + learned}}}, nil
	default:
		out := s.result(c, r, now, terms(c))
		for _, e := range out {
			note(e)
		}
		return out, nil
	}
	return nil, fmt.Errorf("attempt %d at call %d of run %s ended with %q, learned late: %s: %w", t.N, t.Call, s.id, r.Text, why, flawless.Conflict)
}

// learned is why the outcome of a call becomes known after it was unknown.
const learned = "learned from the server that had made the call, after another one had taken over"

// note says in an entry why it comes after the outcome was unknown.
func note(e flawless.Entry) {
	switch {
	case e.Arrival != nil && e.Arrival.Note == "":
		e.Arrival.Note = learned
	case e.Arrival != nil:
		e.Arrival.Note += "; " + learned
	case e.Attempt != nil:
		e.Attempt.Result += "; " + learned
	case e.Unknown != nil:
		e.Unknown.Reason += "; " + learned
	}
}
