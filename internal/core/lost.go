package core

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
)

// This file is about calls that were made, and that the log does not have, because the database has lost acknowledged
// writes. The log ends before such a call: if the run continued from there, it would make the call again.
//
// A lost call is an open call of a kind of its own, whose outcome is unknown, so the run is unresolved. The decision about it
// is kept until the run makes the call again: it is then answered, or sent. If the run makes another call in its place,
// nobody knows what the decision means for that one, and the run is held.

// Lost is a call that was made and that the log may lack.
type Lost struct {
	Call    int
	Request string // a line for people
}

// lostKind is the kind of lost calls.
var lostKind = &effect.Kind{Name: "lost"}

func newLostCall(n int, request string, at int64) *OpenCall {
	return &OpenCall{Call: flawless.Call{N: n, Kind: lostKind.Name}, kind: lostKind, madeAt: at, firstAt: at, attemptAt: at, policy: effect.Policy{Title: request}}
}

// foretold is the decision about a lost call, for when the run makes the call again.
type foretold struct {
	Request  string
	Decision flawless.Decision
}

// Lose returns the entries that make the outcome of calls unknown whose beginning the database has lost. A call that has an
// answer in the log, and any call of a run that has ended, is none of those.
func (s *State) Lose(calls []Lost, why string, now int64) (out []flawless.Entry) {
	calls = slices.Clone(calls)
	slices.SortStableFunc(calls, func(a, b Lost) int { return cmp.Compare(a.Call, b.Call) })
	calls = slices.CompactFunc(calls, func(a, b Lost) bool { return a.Call == b.Call }) // several attempts
	for _, l := range calls {
		u := &flawless.Unknown{Call: l.Call, Reason: why}
		switch c := s.open.all[l.Call]; {
		case c != nil && c.unknownReason != "":
			continue
		case c != nil: // the log has the call, but not the attempt
		case l.Call <= s.callsMade || s.status != "":
			continue
		default:
			u.Lost = &flawless.LostCall{Request: l.Request}
		}
		out = append(out, flawless.Entry{At: max(now, s.at), Unknown: u})
	}
	return out
}

// GoneEntries returns the entries of a run of which the database has nothing any more, except that it has made calls. Its
// code and its input are not known, so it cannot continue; it takes its id until somebody decides about the calls.
func GoneEntries(id, module, workflow string, calls []Lost, why string, now int64) []flawless.Entry {
	start := flawless.Start{Module: module, Workflow: workflow, Time: now, Seed: make([]byte, 32), Input: []byte("null"), Lost: true}
	if parent := strings.TrimRight(id, "0123456789"); parent != id && flawless.FamilyOf(id) != id {
		start.Parent = strings.TrimSuffix(parent, ".")
		_, _ = fmt.Sscan(id[len(parent):], &start.Call)
	}
	if name, at, ok := strings.Cut(id, "@"); ok {
		if _, err := time.Parse(time.RFC3339, at); err == nil { // as flawless.ScheduledID makes it
			start.Schedule = name
		}
	}
	s := NewState(id, nil)
	out := StartEntries(start, nil)
	s.Step(out[0])
	return append(out, s.Lose(calls, why, now)...)
}

// IsGone reports whether the run is one of which the database had nothing any more.
func (s *State) IsGone() bool { return s.start.Lost }

// stepLost adds a call to the open ones that the database has lost.
func (s *State) stepLost(u *flawless.Unknown, at int64) {
	if s.open.all[u.Call] == nil && s.status == "" {
		s.open.add(newLostCall(u.Call, u.Lost.Request, at))
	}
}

// decideLost returns the entries of a decision about a lost call.
func (s *State) decideLost(c *OpenCall, d flawless.Decision, now int64) ([]flawless.Entry, error) {
	if d.Resolution == flawless.Respond {
		if _, err := effect.ResponseAnswer(d.Call, d.Status, d.Body); err != nil {
			return nil, fmt.Errorf("resolving call %d of run %s with a response: %w", d.Call, s.id, err)
		}
	}
	at := max(now, s.at)
	out := []flawless.Entry{{At: at, Decision: &d}}
	if !s.IsGone() || s.open.count[unresolved] > 1 {
		return out, nil
	}
	end := &flawless.End{Status: flawless.Failed, Who: d.Who, Failure: flawless.Failure{Kind: lostKind.Name,
		Message: "the database lost this run with its code and its input, so it cannot continue; its id stays taken, because a call took effect"}}
	if d.Resolution == flawless.Retry && len(s.foretold) == 0 {
		end.Status, end.Failure.Message = flawless.Terminated, "the database lost this run, and none of its calls took effect: its id is free again"
	}
	return append(out, flawless.Entry{At: at, End: end}), nil
}

// Forgets reports whether the entries of a decision end a run of which nothing is left and nothing took effect: it is as if
// it had never been.
func (s *State) Forgets(entries []flawless.Entry) bool {
	last := len(entries) - 1
	return s.IsGone() && last >= 0 && entries[last].End != nil && entries[last].End.Status == flawless.Terminated
}

// stepDecisionLost applies a decision about a lost call.
func (s *State) stepDecisionLost(c *OpenCall, d *flawless.Decision) {
	s.open.remove(c)
	if d.Resolution == flawless.Respond || d.Resolution == flawless.Tell {
		if s.foretold == nil {
			s.foretold = map[int]foretold{}
		}
		s.foretold[c.N] = foretold{c.policy.Title, *d}
	}
}

// meet compares a call with the decision about a lost one that had its number. It reports whether the call is answered with
// that decision.
func (s *State) meet(c *OpenCall) (answered bool) {
	f, ok := s.foretold[c.N]
	if !ok {
		return false
	}
	if c.invalid == nil && c.kind.Perform != nil && c.policy.Title == f.Request {
		s.toTell = append(s.toTell, c.N)
		return true
	}
	now := c.Kind
	if c.policy.Title != "" {
		now = c.policy.Title
	}
	s.stray = fmt.Sprintf("before the database lost writes, call %d was %s, about which %s decided that it took effect; the run has now made another call in its place: %s. "+
		"Find out what that means, then resume the run or end it", c.N, f.Request, NameOf(f.Decision.Who), now)
	delete(s.foretold, c.N)
	return false
}

// toldEntry returns the answer of a call that a person has decided about before it was made again.
func (s *State) toldEntry(call int) flawless.Entry {
	d := s.foretold[call].Decision
	if d.Resolution == flawless.Respond {
		if a, err := effect.ResponseAnswer(call, d.Status, d.Body); err == nil { // it was checked
			return s.ArrivalEntry(a, nil, "not sent: the call took effect before the database lost writes; response given by "+NameOf(d.Who))
		}
	}
	return s.ArrivalEntry(effect.ErrorAnswer(call, "told", d.Text), nil, "not sent: the call was made before the database lost writes; error given by "+NameOf(d.Who))
}

// strayEntry returns the entry that holds a run which goes another way than before the loss.
func (s *State) strayEntry() flawless.Entry {
	return flawless.Entry{At: s.at, Pause: &flawless.Pause{Hold: true, Who: "the server", Note: s.stray}}
}

// postpone makes a call of the turn that went another way wait until the run is resumed.
func (c *OpenCall) postpone(at int64) { c.attempt, c.nextAt = 0, at }
