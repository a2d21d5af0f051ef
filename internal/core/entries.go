package core

import (
	"fmt"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
)

// This file is a part of the state of a run: what becomes of what people and other runs ask of it. As core.go
// it decides and does nothing.

// StartEntries returns the first entries of a run's log. held is not nil where the run is held back from the start.
func StartEntries(start flawless.Start, held *flawless.Pause) []flawless.Entry {
	out := []flawless.Entry{{At: start.Time, Start: &start}}
	if held != nil {
		out = append(out, flawless.Entry{At: start.Time, Pause: held})
	}
	return out
}

// RequestCancel returns the entry that tells a run to give up. Asking again changes nothing, but for an earlier
// deadline.
func (s *State) RequestCancel(c flawless.Cancel, now int64) ([]flawless.Entry, error) {
	switch {
	case s.status != "":
		return nil, fmt.Errorf("cancelling run %s: it is %s already: %w", s.id, s.status, flawless.Conflict)
	case s.cancel != nil && (c.Deadline == 0 || s.cancel.Deadline != 0 && s.cancel.Deadline <= c.Deadline):
		return nil, nil
	}
	return []flawless.Entry{{At: max(now, s.at), Cancel: &c}}, nil
}

// Pause returns the entry that pauses a run, or resumes it. Asking for what is so already changes nothing.
func (s *State) Pause(p flawless.Pause, now int64) ([]flawless.Entry, error) {
	switch {
	case s.status != "" && (s.held == nil || !p.Resume):
		return nil, fmt.Errorf("pausing run %s: it is %s already: %w", s.id, s.status, flawless.Conflict)
	case p.Resume && s.held != nil: // what it was paused for before still holds
	case (s.paused == nil) == p.Resume:
		return nil, nil
	}
	return []flawless.Entry{{At: max(now, s.at), Pause: &p}}, nil
}

// Terminate returns the entry that ends a run without asking it, or those that withdraw the calls that wait,
// where it has completed.
func (s *State) Terminate(c flawless.Cancel, now int64) ([]flawless.Entry, error) {
	if s.status == "" {
		end := Terminated(c)
		end.Failure = s.withOpenSteps(end.Failure)
		return []flawless.Entry{{At: max(now, s.at), End: end}}, nil
	}
	if off := s.withdrawWaiting(now, "terminated by "+Who(c.Who)); len(off) > 0 {
		return off, nil
	}
	return nil, fmt.Errorf("terminating run %s: it is %s already, and none of its calls waits to begin: %w", s.id, s.status, flawless.Conflict)
}

// Terminated is the end of a run that somebody terminates.
func Terminated(c flawless.Cancel) *flawless.End {
	text := "terminated by " + Who(c.Who)
	if c.Note != "" {
		text += ": " + c.Note
	}
	return &flawless.End{Status: flawless.Terminated, Who: c.Who, Failure: flawless.Failure{Kind: "terminated", Message: text}}
}

// CloseImported returns the entries that close a run which came from elsewhere and never goes on by itself: its end,
// if it has none, and an answer for each open call. It takes them in. was is the run's status where it came from.
func (s *State) CloseImported(was flawless.Status) (out []flawless.Entry) {
	take := func(x flawless.Entry) {
		s.Step(x)
		out = append(out, x)
	}
	if s.status == "" {
		take(flawless.Entry{At: s.at, End: &flawless.End{Status: flawless.Terminated, Failure: flawless.Failure{Kind: "imported",
			Message: fmt.Sprintf("the run was imported while it was %s; go on from its past with workflow fork", was)}}})
	}
	for _, c := range s.OpenCalls() {
		const why = "the run was imported while it had no answer; what became of the call is not known here"
		take(s.ArrivalEntry(effect.ErrorAnswer(c.N, "imported", why), nil, why))
	}
	return out
}

// UpgradeEntry returns the entry that moves a run to other code.
func (s *State) UpgradeEntry(u flawless.Upgrade, now int64) flawless.Entry {
	return flawless.Entry{At: max(now, s.at), Upgrade: &u}
}

// AnswerEntry returns the entry of an answer that the engine gives by itself, or somebody outside. note is for people.
func (s *State) AnswerEntry(a flawless.Answer, note string, now int64) flawless.Entry {
	return flawless.Entry{At: max(now, s.at), Arrival: &flawless.Arrival{Answer: a, Note: note}}
}

// TurnEntry returns the entry of a turn that the guest has taken.
func (s *State) TurnEntry(t *flawless.Turn, now int64) flawless.Entry {
	return flawless.Entry{At: max(now, s.at, t.Time), Turn: t}
}

// WaitEntry returns the entry of a try that has to wait for a permit towards its host. waits says for which.
func (s *State) WaitEntry(t Try, waits string) flawless.Entry {
	return flawless.Entry{At: s.at, Attempt: &flawless.Attempt{Call: t.Call, N: t.N - 1, Waits: waits}}
}

// BeginEntry returns the entry with which the next try of an open call begins, once it has its permit.
func (s *State) BeginEntry(call int, now int64) flawless.Entry {
	return flawless.Entry{At: max(now, s.at), Attempt: &flawless.Attempt{Call: call, N: s.open.all[call].attempt + 1, Begun: true}}
}

// UnknownEntry returns the entry that says why nobody can know the outcome of a call.
func (s *State) UnknownEntry(call int, why string) flawless.Entry {
	return flawless.Entry{At: s.at, Unknown: &flawless.Unknown{Call: call, Reason: why}}
}

// AdoptEntry returns the entry that has a call answered by the end of a run that is there already.
func (s *State) AdoptEntry(call int, run string) flawless.Entry {
	return flawless.Entry{At: s.at, Adopted: &flawless.Adopted{Call: call, Run: run}}
}
