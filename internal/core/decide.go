package core

import (
	"fmt"
	"slices"
	"strings"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
)

// RetryDecision is a person's decision about a call that waits for a retry.
type RetryDecision struct {
	Call   int  // 0 means the only one that waits
	GiveUp bool // no more attempts: the code gets the last error
	Who    string
	Note   string
}

// DecideRetry returns the entries that begin the next attempt at a call now, or end its retries. It returns
// flawless.Conflict if the call does not wait for a retry, or if several do and none is named.
func (s *State) DecideRetry(u RetryDecision, now int64) ([]flawless.Entry, error) {
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
	return []flawless.Entry{decision, s.giveUp(c, flawless.Entry{At: at}, "given up by "+Who(u.Who))}, nil
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
