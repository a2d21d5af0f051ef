package core

import (
	"fmt"
	"slices"
	"strings"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
)

// Urge is a decision about a call that waits for its next try.
type RetryDecision struct {
	Call   int  // 0 is the only one that waits
	GiveUp bool // no more tries: the code gets the last error
	Who    string
	Note   string
}

// Urge returns the entries that start the next try of a call now, or end its retries. It returns flawless.Conflict where the
// call does not wait for a try, or several do and none is named.
func (s *State) DecideRetry(u RetryDecision, now int64) ([]flawless.Entry, error) {
	c, err := s.waitingForRetry(u.Call)
	if err != nil {
		return nil, fmt.Errorf("retrying a call of run %s: %w: %w", s.id, err, flawless.Conflict)
	}
	if s.held != nil && !u.GiveUp {
		return nil, fmt.Errorf("retrying call %d of run %s: the run is held back, resume it: %w", c.N, s.id, flawless.Conflict)
	}
	at := max(now, s.at)
	said := flawless.Entry{At: at, Decision: &flawless.Decision{Call: c.N, Resolution: flawless.Retry, Who: u.Who, Note: u.Note}}
	if !u.GiveUp {
		return []flawless.Entry{said}, nil
	}
	said.Decision.Resolution = flawless.GiveUp
	return []flawless.Entry{said, s.giveUp(c, flawless.Entry{At: at}, "given up by "+Who(u.Who))}, nil
}

// urged finds the call that somebody means.
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
		return nil, fmt.Errorf("calls %s wait for their next try, say which one is meant", strings.Join(names, ", "))
	case n == 0:
		return nil, fmt.Errorf("none of its calls waits for its next try")
	case c == nil:
		return nil, fmt.Errorf("there is no call %d, or it has been answered", n)
	case c.unknownReason != "":
		return nil, fmt.Errorf("nobody knows the outcome of call %d: resolve it", n)
	case c.awaitsPermit:
		return nil, fmt.Errorf("call %d waits for a place under a limit, not for a retry", n)
	}
	return nil, fmt.Errorf("call %d does not wait for its next try", n)
}

// givenUp completes the entry that ends the retrying of a call with how its last try ended.
func (s *State) giveUp(c *OpenCall, e flawless.Entry, why string) flawless.Entry {
	if c.suspectAt != 0 && !(c.inconclusive && c.lastStatusInconclusive()) {
		text := fmt.Sprintf("%s; a try that began at %s was sent and may have taken effect", why, formatTime(c.suspectAt))
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
