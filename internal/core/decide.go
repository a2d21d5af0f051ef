package core

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
)

// Decide returns the entries of a person's decision about a call whose outcome is unknown, or why it is refused.
func (s *State) Decide(d flawless.Decision, now int64) ([]flawless.Entry, error) {
	c := s.open.all[d.Call]
	if c == nil || c.unknownReason == "" {
		return nil, fmt.Errorf("resolving call %d of run %s: its outcome is not unknown, so there is nothing to decide: %w", d.Call, s.id, flawless.Conflict)
	}
	if c.kind == lostKind && d.Resolution != flawless.Fail {
		return s.decideLost(c, d, now)
	}
	if d.Resolution == flawless.Retry && c.kind.Perform != nil && s.status != "" && s.status != flawless.Completed {
		return nil, fmt.Errorf("resolving call %d of run %s with retry: the run %s and begins no more attempts; resolve the call with response, error or fail: %w", d.Call, s.id, endedText(s.status), flawless.Conflict)
	}
	if d.Resolution == flawless.Retry && c.unseen != 0 && !d.Confirm {
		return nil, fmt.Errorf("resolving call %d of run %s with retry: the server that made the call was not seen to stop, so it may still send the request, or have sent it after you looked; "+
			"make sure that its process has ended, then confirm the retry (--yes, or \"confirm\": true in the API). When that server answers again, this is not needed: %w", d.Call, s.id, flawless.Conflict)
	}
	if d.Resolution == flawless.Retry && c.Kind == effect.Send {
		for _, o := range s.OpenCalls() { // the receiver would take an older message for a duplicate
			if o.N < c.N && o.Kind == effect.Send && o.unknownReason != "" {
				return nil, fmt.Errorf("resolving call %d of run %s with retry: call %d sent an earlier message; resolve that call first: %w", d.Call, s.id, o.N, flawless.Conflict)
			}
		}
	}
	at := max(now, s.at)
	out := []flawless.Entry{{At: at, Decision: &d}}
	switch d.Resolution {
	case flawless.Retry:
		if c.Kind == effect.Doubt {
			out = append(out, flawless.Entry{At: at, Arrival: &flawless.Arrival{Answer: effect.RetryAnswer(d.Call), Note: "retry decided by " + NameOf(d.Who)}})
		}
	case flawless.Respond:
		a, err := effect.ResponseAnswer(d.Call, d.Status, d.Body)
		if err != nil {
			return nil, fmt.Errorf("resolving call %d of run %s with a response: %w", d.Call, s.id, err)
		}
		out = append(out, flawless.Entry{At: at, Arrival: &flawless.Arrival{Answer: a, Note: "response given by " + NameOf(d.Who)}})
	case flawless.Tell:
		out = append(out, flawless.Entry{At: at, Arrival: &flawless.Arrival{Answer: effect.ErrorAnswer(d.Call, "told", d.Text), Note: "error given by " + NameOf(d.Who)}})
	case flawless.Fail:
		if s.status == "" {
			out = append(out, flawless.Entry{At: at, End: &flawless.End{Status: flawless.Failed, Who: d.Who,
				Failure: s.withOpenSteps(flawless.Failure{Kind: "resolved", Message: fmt.Sprintf("call %d was resolved with fail by %s: %s", d.Call, NameOf(d.Who), cmp.Or(d.Note, "no reason given"))})}})
		}
	default:
		return nil, fmt.Errorf("resolving call %d of run %s: unknown resolution %q; use retry, response, error or fail: %w", d.Call, s.id, d.Resolution, flawless.Invalid)
	}
	return out, nil
}

// RetryDecision is a person's decision about a call that waits for a retry.
type RetryDecision struct {
	Call   int  // 0 means the only one that waits
	GiveUp bool // no more attempts: the code gets the last error
	Who    string
	Note   string
}

// DecideRetry returns the entries that begin the next attempt at a call now, or end its retries. It returns
// flawless.Conflict if the call does not wait for a retry, or if several do and none is named.
func (s *State) DecideRetry(u RetryDecision, now int64, terms func(*OpenCall) Terms) ([]flawless.Entry, error) {
	c, err := s.waitingForRetry(u.Call)
	if err != nil {
		return nil, fmt.Errorf("retrying a call of run %s: %w: %w", s.id, err, flawless.Conflict)
	}
	if s.held != nil && !u.GiveUp {
		return nil, fmt.Errorf("retrying call %d of run %s: the run is held; resume it first: %w", c.N, s.id, flawless.Conflict)
	}
	at := max(now, s.at)
	decision := flawless.Entry{At: at, Decision: &flawless.Decision{Call: c.N, Resolution: flawless.Retry, Who: u.Who, Note: u.Note}}
	if !u.GiveUp {
		return []flawless.Entry{decision}, nil
	}
	decision.Decision.Resolution = flawless.GiveUp
	return []flawless.Entry{decision, c.concluded(s.giveUp(c, flawless.Entry{At: at}, "given up by "+NameOf(u.Who)), terms(c))}, nil
}

// waitingForRetry returns the call that is meant; 0 means the only one.
func (s *State) waitingForRetry(n int) (*OpenCall, error) {
	var waiting []*OpenCall
	for _, c := range s.OpenCalls() {
		if c.invalid == nil && c.kind.Perform != nil && c.nextAt != 0 && c.unknownReason == "" {
			waiting = append(waiting, c)
		}
	}
	if i := slices.IndexFunc(waiting, func(c *OpenCall) bool { return c.N == n }); i >= 0 {
		return waiting[i], nil
	}
	switch c := s.open.all[n]; {
	case n == 0 && len(waiting) == 1:
		return waiting[0], nil
	case n == 0 && len(waiting) > 1:
		var names []string
		for _, c := range waiting {
			names = append(names, fmt.Sprint(c.N))
		}
		return nil, fmt.Errorf("calls %s are waiting for a retry; name one of them", strings.Join(names, ", "))
	case n == 0:
		return nil, fmt.Errorf("none of its calls is waiting for a retry")
	case c == nil:
		return nil, fmt.Errorf("call %d does not exist or has been answered", n)
	case c.unknownReason != "":
		return nil, fmt.Errorf("the outcome of call %d is unknown; resolve it", n)
	case c.awaitsPermit:
		return nil, fmt.Errorf("call %d is waiting for a rate-limit permit, not for a retry", n)
	}
	return nil, fmt.Errorf("call %d is not waiting for a retry", n)
}

// giveUp completes the entry that ends the retries of a call with the result of its last attempt.
func (s *State) giveUp(c *OpenCall, e flawless.Entry, why string) flawless.Entry {
	if c.suspectAt != 0 && !(c.inconclusive && c.lastStatusInconclusive()) {
		text := fmt.Sprintf("%s; an attempt at %s was sent and may have taken effect", why, formatTime(c.suspectAt))
		if c.lastFailure != nil {
			text = c.lastFailure.Result + "; " + text
		}
		return s.unknownOutcome(c, e, text, "", 0, nil)
	}
	kind, reason, status, text := effect.KindGivenUp, "", 0, why
	if f := c.lastFailure; f != nil {
		text, status = f.Result+"; "+why, f.Failed.Status
		if f.Failed.Kind == outcomeNames[effect.NotSent] {
			kind, reason = "not_sent", f.Failed.Reason
		}
	}
	e.Arrival = &flawless.Arrival{Answer: effect.FailureAnswer(c.N, kind, text, reason, status), Note: text}
	return e
}
