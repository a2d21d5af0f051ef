package core

import (
	"fmt"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
)

// This file makes the entries that people, other runs and the engine ask for.

// StartEntries returns the first entries of a run's log. held is not nil if the run is held from the start.
func StartEntries(start flawless.Start, held *flawless.Pause) []flawless.Entry {
	out := []flawless.Entry{{At: start.Time, Start: &start}}
	if held != nil {
		out = append(out, flawless.Entry{At: start.Time, Pause: held})
	}
	return out
}

// RequestCancel returns the entry that asks a run to give up. A second request has no effect unless its deadline is
// earlier.
func (s *State) RequestCancel(c flawless.Cancel, now int64) ([]flawless.Entry, error) {
	switch {
	case s.status != "":
		return nil, fmt.Errorf("cancelling run %s: it is already %s: %w", s.id, s.status, flawless.Conflict)
	case s.cancel != nil && (c.Deadline == 0 || s.cancel.Deadline != 0 && s.cancel.Deadline <= c.Deadline):
		return nil, nil
	}
	return []flawless.Entry{{At: max(now, s.at), Cancel: &c}}, nil
}

// Pause returns the entry that pauses or resumes a run, or none if nothing changes.
func (s *State) Pause(p flawless.Pause, now int64) ([]flawless.Entry, error) {
	switch {
	case s.status != "" && (s.held == nil || !p.Resume):
		doing := "pausing"
		if p.Resume {
			doing = "resuming"
		}
		return nil, fmt.Errorf("%s run %s: it is already %s: %w", doing, s.id, s.status, flawless.Conflict)
	case p.Resume && s.held != nil: // an earlier pause by a person still holds
	case (s.paused == nil) == p.Resume:
		return nil, nil
	}
	return []flawless.Entry{{At: max(now, s.at), Pause: &p}}, nil
}

// Terminate returns the entry that ends a run without asking its code. For a run that has completed, it returns the
// entries that withdraw the calls which have not begun.
func (s *State) Terminate(c flawless.Cancel, now int64) ([]flawless.Entry, error) {
	if s.status == "" {
		end := Terminated(c)
		end.Failure = s.withOpenSteps(end.Failure)
		return []flawless.Entry{{At: max(now, s.at), End: end}}, nil
	}
	if off := s.withdrawWaiting(now, "terminated by "+NameOf(c.Who)); len(off) > 0 {
		return off, nil
	}
	return nil, fmt.Errorf("terminating run %s: it is already %s, and none of its calls is waiting to begin: %w", s.id, s.status, flawless.Conflict)
}

// Terminated returns the end of a run that a person terminates.
func Terminated(c flawless.Cancel) *flawless.End {
	text := "terminated by " + NameOf(c.Who)
	if c.Note != "" {
		text += ": " + c.Note
	}
	return &flawless.End{Status: flawless.Terminated, Who: c.Who, Failure: flawless.Failure{Kind: "terminated", Message: text}}
}

// CloseImported applies and returns the entries that close an imported run, which never continues by itself: its end,
// if it has none, and an answer for each open call. was is the status that the run had where it came from.
func (s *State) CloseImported(was flawless.Status) (out []flawless.Entry) {
	take := func(x flawless.Entry) {
		s.Step(x)
		out = append(out, x)
	}
	if s.status == "" {
		take(flawless.Entry{At: s.at, End: &flawless.End{Status: flawless.Terminated, Failure: flawless.Failure{Kind: "imported",
			Message: fmt.Sprintf("the run was imported while it was %s; continue from its past with workflow fork", was)}}})
	}
	for _, c := range s.OpenCalls() {
		const why = "the call had no answer when the run was imported; its outcome is not known here"
		take(s.ArrivalEntry(effect.ErrorAnswer(c.N, "imported", why), nil, why))
	}
	return out
}

// UpgradeEntry returns the entry that moves a run to other code.
func (s *State) UpgradeEntry(u flawless.Upgrade, now int64) flawless.Entry {
	return flawless.Entry{At: max(now, s.at), Upgrade: &u}
}

// AnswerEntry returns the entry of an answer that the engine, or somebody outside, gives to a call. The note is for
// people.
func (s *State) AnswerEntry(a flawless.Answer, note string, now int64) flawless.Entry {
	return flawless.Entry{At: max(now, s.at), Arrival: &flawless.Arrival{Answer: a, Note: note}}
}

// TurnEntry returns the entry of a turn that the guest has taken.
func (s *State) TurnEntry(t *flawless.Turn, now int64) flawless.Entry {
	return flawless.Entry{At: max(now, s.at, t.Time), Turn: t}
}

// WaitEntry returns the entry of an attempt that has to wait for a permit; waits names the limit.
func (s *State) WaitEntry(t Attempt, waits string) flawless.Entry {
	return flawless.Entry{At: s.at, Attempt: &flawless.Attempt{Call: t.Call, N: t.N - 1, Waits: waits}}
}

// BeginEntry returns the entry with which the next attempt at an open call begins, once it has its permit.
func (s *State) BeginEntry(call int, now int64) flawless.Entry {
	return flawless.Entry{At: max(now, s.at), Attempt: &flawless.Attempt{Call: call, N: s.open.all[call].attempt + 1, Begun: true}}
}

// UnknownEntry returns the entry that makes the outcome of an open call unknown.
func (s *State) UnknownEntry(call int, why string, terms Terms) flawless.Entry {
	return s.open.all[call].concluded(flawless.Entry{At: s.at, Unknown: &flawless.Unknown{Call: call, Reason: why}}, terms)
}

// AdoptEntry returns the entry that lets the end of an existing run answer a spawn call.
func (s *State) AdoptEntry(call int, run string) flawless.Entry {
	return flawless.Entry{At: s.at, Adopted: &flawless.Adopted{Call: call, Run: run}}
}
