package core

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
)

// This file decides whether and when a call is attempted again after an attempt that failed or was cut short.
//
// It keeps two questions apart. May the request be sent again, given that something of it was sent? That is a question
// of harm, answered by mayRepeat alone and asked again right before an attempt begins (Recheck). Should it be attempted
// again? That is a question of patience, answered by the code's policy or else by the operator's terms.

// defaultRetry is the policy for calls without one of their own, for as long as the operator's terms allow.
var defaultRetry = effect.Retry{Initial: time.Second, Factor: 2, Max: 5 * time.Minute, Jitter: 0.2}

// maxRetryAfter is the longest Retry-After that is honoured if nothing limits the time for retries.
const maxRetryAfter = 24 * time.Hour

// keyMargin is how long before the end of a key's window the last attempt begins, so that it can still be answered. For
// a window of less than five minutes it is a tenth of the window.
const keyMargin = 30 * time.Second

// suspectSince returns the start of the first attempt that may have taken effect, including one in flight.
func (c *OpenCall) suspectSince() int64 { return cmp.Or(c.suspectAt, c.attemptAt, c.madeAt) }

// reachedAt returns the start of the first attempt that reached the server, answered or not; 0 for none. The server has
// known the key of the call since then.
func (c *OpenCall) reachedAt() int64 {
	if c.lastFailure != nil && c.lastFailure.Reached != 0 {
		return c.lastFailure.Reached
	}
	return c.suspectAt
}

// firstAttemptAt returns the start of the first attempt.
func (c *OpenCall) firstAttemptAt() int64 { return cmp.Or(c.firstAt, c.madeAt) }

// backoffExempt returns how many attempts so far do not lengthen the waits: those that a person hurried, and all before
// one that a restart or a person began.
func (c *OpenCall) backoffExempt() int {
	switch f := c.lastFailure; {
	case f == nil && c.fresh:
		return c.attempt - 1
	case f == nil:
		return 0
	case c.attemptAt < f.Next:
		return f.Eased + 1
	default:
		return f.Eased
	}
}

// KeyEnds returns when the server of a call may forget its key, provided that the next attempt repeats an earlier one.
// It returns 0 if it does not, or if the call has no key window.
func (s *State) KeyEnds(c *OpenCall, now int64, terms Terms) int64 {
	if within, _ := c.keyWindow(terms); !c.isRepetition(int64(within)) {
		return 0
	}
	_, until, _ := s.mayRepeat(c, now, terms)
	return until
}

// keyWindow returns how long the server of a call remembers its idempotency key, and who declared it; 0 if nobody did
// or the call needs no key to be repeated.
func (c *OpenCall) keyWindow(t Terms) (time.Duration, string) {
	switch {
	case c.policy.Within > 0:
		return c.policy.Within, "the code"
	case c.policy.Idempotent || c.policy.ByCode || c.policy.Keyless:
		return 0, ""
	}
	return t.Within, t.KeyBy
}

// mayRepeat reports whether a request of which something was sent may be sent again, and until when (0 for no limit).
// why gives the reason either way; it is "" if nobody ever declared that the request may be repeated.
func (s *State) mayRepeat(c *OpenCall, now int64, t Terms) (ok bool, until int64, why string) {
	within, by := c.keyWindow(t)
	sent := c.keyKnownSince(int64(within))
	switch {
	case c.policy.Idempotent && c.policy.ByCode:
		return true, 0, "the code declares it idempotent"
	case c.policy.Idempotent:
		return true, 0, "its method is idempotent"
	case within == 0:
		return false, 0, ""
	}
	until = sent + int64(within)
	rule := fmt.Sprintf("its idempotency key is honoured for %s (%s)", formatDuration(within), by)
	switch {
	case now < sent:
		return false, until, rule + ", but the clock is before the time at which the call was sent, so the time left is unknown"
	case max(now, s.at) >= until:
		return false, until, rule + ", which ended at " + formatTime(until)
	}
	return true, until, rule + ", until " + formatTime(until)
}

// Result returns the entry that follows from the end of an attempt, or none if that attempt is not the awaited one.
func (s *State) Result(t Attempt, r effect.Result, now int64, terms Terms) []flawless.Entry {
	c := s.open.all[t.Call]
	if c == nil || c.attempt != t.N || c.nextAt != 0 || c.awaitsPermit || c.unknownReason != "" {
		return nil
	}
	return s.result(c, r, now, terms)
}

// result is Result for a call that waits for this attempt.
func (s *State) result(c *OpenCall, r effect.Result, now int64, terms Terms) []flawless.Entry {
	e := flawless.Entry{At: max(now, s.at)}
	v := s.judge(c, &r, terms)
	next := s.nextAttempt(c, &r, &v, now, terms)
	within, _ := c.keyWindow(terms)
	if next != 0 {
		reached := c.reachedAt()
		if r.Outcome != effect.NotSent {
			reached = c.keyKnownSince(int64(within))
		}
		e.Attempt = &flawless.Attempt{Call: c.N, N: c.attempt, Result: r.Text, Stages: r.Stages, Next: next,
			Failed: &flawless.TryFailure{Kind: outcomeNames[r.Outcome], Reason: r.Reason, Status: r.Status},
			Rule:   v.rule, Since: c.firstAttemptAt(), Until: v.until, Sent: v.suspectAt, Mild: v.inconclusive, Reached: reached, Eased: c.backoffExempt()}
		return []flawless.Entry{e}
	}
	text := v.text
	if v.stopReason != "" {
		text += "; " + v.stopReason
	}
	switch {
	case r.Outcome != effect.Answered && c.withdrawnWhy != "" && c.policy.Idempotent:
		text = fmt.Sprintf("withdrawn after attempt %d (%s): %s", c.attempt, r.Text, withdrawalCause(c.withdrawnWhy))
		e.Arrival = &flawless.Arrival{Answer: effect.WithdrawnAnswer(c.N, effect.Abandoned, text), Stages: r.Stages, Note: text}
	case v.unknown:
		reason := ""
		if r.Reason == "timeout" {
			reason = r.Reason
		}
		said, _ := c.withLastWord(text, r.Status)
		if e = s.unknownOutcome(c, e, text, reason, r.Status, r.Stages); e.Arrival != nil && said == r.Text {
			if r.Answer.Call = c.N; c.Kind != effect.HTTP { // a stream that cannot be read on has its own answer
				e.Arrival.Answer = r.Answer
			}
			e.Arrival.Note = arrivalNote(c, r.Outcome, text, "")
		}
	default:
		if r.Answer.Call = c.N; r.Outcome == effect.NotSent && v.stopReason != "" {
			r.Answer = effect.FailureAnswer(c.N, "not_sent", text, r.Reason, 0)
		}
		e.Arrival = &flawless.Arrival{Answer: r.Answer, Stages: r.Stages, Note: arrivalNote(c, r.Outcome, text, v.stopReason)}
	}
	return []flawless.Entry{c.concluded(e, terms)}
}

var outcomeNames = [...]string{effect.NotSent: "not_sent", effect.Unknown: "unknown", effect.Answered: "answered"}

// verdict is what an attempt says about its call.
type verdict struct {
	unknown      bool   // the outcome of the call is unknown
	suspectAt    int64  // start of the first suspect attempt, see flawless.Attempt.Sent
	inconclusive bool   // each suspect attempt got a status that leaves its effect open
	busy         bool   // the server is still working on an earlier attempt
	final        bool   // no further attempt can tell more
	text         string // for people

	rule       string // why it is retried
	until      int64  // and until when, 0 for no limit
	stopReason string // why it is not, if there is something to say
}

// judge returns what an attempt says about its call. An attempt that was not sent says nothing about an earlier one
// that was. A server that honours keys answers a repeated request with 409 while it works on the first one, and with
// 422 if it knows the key from a different request (draft-ietf-httpapi-idempotency-key-header, section 2.7).
func (s *State) judge(c *OpenCall, r *effect.Result, terms Terms) verdict {
	v := verdict{suspectAt: c.suspectAt, inconclusive: c.inconclusive, text: r.Text, unknown: r.Outcome == effect.Unknown}
	if v.unknown {
		v.suspectAt, v.inconclusive = c.suspectSince(), false
	}
	within, _ := c.keyWindow(terms)
	suspect, inconclusive := c.firstSuspect()
	answered := within > 0 && r.Outcome == effect.Answered && (c.reachedAt() != 0 || suspect != 0) // to a retry under the key
	switch {
	case answered && r.Status == http.StatusConflict:
		v.unknown, v.busy, v.inconclusive, v.text = true, true, false, r.Text+" to a retry: the server is still working on an earlier attempt"
	case answered && r.Status == http.StatusUnprocessableEntity:
		v.unknown, v.final, v.inconclusive, v.text = true, true, false, r.Text+" to a retry: the server knows the idempotency key from a different request"
	case answered && suspect != 0 && rejectedEarly(r.Status) && !(inconclusive && !provesNoEffect(r.Status)):
		v.unknown, v.busy, v.text = true, true, fmt.Sprintf("%s to a retry, which says nothing about the attempt at %s that may have taken effect", r.Text, formatTime(suspect))
	case r.Outcome == effect.NotSent && c.suspectAt != 0:
		v.unknown, v.text = true, fmt.Sprintf("%s; an attempt at %s was sent and may have taken effect", r.Text, formatTime(c.suspectAt))
	}
	if v.unknown && v.suspectAt == 0 {
		v.suspectAt = cmp.Or(c.reachedAt(), c.suspectSince())
	}
	return v
}

// nextAttempt returns when the next attempt begins, 0 for never, and completes the verdict.
func (s *State) nextAttempt(c *OpenCall, r *effect.Result, v *verdict, now int64, terms Terms) int64 {
	at := max(now, s.at)
	// Nobody waits for a withdrawn call unless it may have taken effect. Then the code waits for the outcome, and
	// another attempt may reveal it.
	if s.status != "" || v.final || c.withdrawnWhy != "" && (!v.unknown || c.policy.Idempotent) {
		return 0
	}
	key := int64(math.MaxInt64) // no attempt begins at that time or later
	may, until, why := s.mayRepeat(c, now, terms)
	switch {
	case v.unknown:
		if !may {
			v.stopReason = why
			return 0
		}
		v.rule, v.until, key = why, until, cmp.Or(until, key)
	case r.Outcome == effect.NotSent:
		v.rule = "nothing was sent"
	default:
		v.rule = fmt.Sprintf("status %d", r.Status)
	}
	limit, by := terms.Retry, terms.RetryBy
	if c.policy.For != nil {
		limit, by = *c.policy.For, "the code"
	}
	switch own := c.policy.Retry.Attempts > 0; {
	case own && (!r.Again && !v.busy && !(v.unknown && r.Passes) || c.attempt >= c.policy.Retry.Attempts):
		return 0
	case own && c.policy.For == nil:
		v.rule, limit = v.rule+", retried by the code's policy", 0
	case !own && !r.Passes && !v.busy || limit == 0:
		return 0
	default:
		v.rule += fmt.Sprintf(", retried for %s (%s)", formatDuration(limit), by)
	}
	within, _ := c.keyWindow(terms)
	if !v.unknown && within > 0 && (r.Outcome == effect.Answered || c.isRepetition(int64(within))) {
		// Whatever the reason for the next attempt, the server must still remember the key. And code that does not get
		// the status cannot know that the attempt may have taken effect.
		if r.Outcome == effect.Answered && !provesNoEffect(r.Status) {
			v.suspectAt, v.inconclusive = c.suspectSince(), c.suspectAt == 0 || c.inconclusive
		}
		if !may {
			return s.keyExpires(c, v, why)
		}
		v.until, key = until, until
	}
	left := int64(maxRetryAfter)
	if limit > 0 {
		end := c.firstAttemptAt() + int64(limit)
		if left = end - at; left <= 0 {
			v.stopReason = fmt.Sprintf("it was retried for %s (%s), since %s", formatDuration(limit), by, formatTime(c.firstAttemptAt()))
			return 0
		}
		v.until = min(end, cmp.Or(v.until, end))
	}
	if int64(r.After) > left {
		v.stopReason = fmt.Sprintf("the server's Retry-After of %s is longer than the time left for retries (%s), so it is not retried", formatDuration(r.After), formatDuration(time.Duration(left)))
		return 0
	}
	wait := max(int64(s.backoff(c)), int64(r.After))
	if limit > 0 {
		wait = min(wait, left)
	}
	if room := key - at; wait >= room { // one more attempt before the key may be forgotten
		wait = room - int64(min(keyMargin, within/10))
		switch {
		case int64(r.After) > max(wait, 0):
			return s.keyExpires(c, v, fmt.Sprintf("%s, and the server's Retry-After is %s", why, formatDuration(r.After)))
		case wait <= 0:
			return s.keyExpires(c, v, why+", and too little of that is left for another attempt")
		}
	}
	return at + wait
}

// keyExpires completes the verdict on the last attempt before the window of its key ends. A status is the answer
// nevertheless, unless something may have taken effect.
func (s *State) keyExpires(c *OpenCall, v *verdict, why string) int64 {
	suspect, _ := c.firstSuspect()
	v.stopReason, v.unknown = why, v.unknown || v.suspectAt != 0 || suspect != 0
	return 0
}

// unknownOutcome completes the entry that ends the attempts of a call that may have taken effect.
func (s *State) unknownOutcome(c *OpenCall, e flawless.Entry, text, reason string, status int, stages []flawless.Stage) flawless.Entry {
	text, status = c.withLastWord(text, status)
	switch {
	case c.policy.Idempotent:
		e.Arrival = &flawless.Arrival{Answer: effect.UnknownAnswer(s.id, c.Call, true, text, reason, status), Stages: stages, Note: text}
	case c.policy.Tell:
		e.Arrival = &flawless.Arrival{Answer: effect.UnknownAnswer(s.id, c.Call, false, text, reason, status), Stages: stages, Note: text}
	default:
		e.Unknown = &flawless.Unknown{Call: c.N, Reason: text, Stages: stages}
	}
	return e
}

func arrivalNote(c *OpenCall, o effect.Outcome, text, over string) string {
	switch {
	case c.attempt > 1:
		return fmt.Sprintf("attempt %d: %s", c.attempt, text)
	case o == effect.Answered && over == "":
		return ""
	}
	return text
}

// backoff returns how long to wait after the attempt that has just ended. Its random part is derived from the run's
// seed, so it is not logged.
func (s *State) backoff(c *OpenCall) time.Duration {
	p := c.policy.Retry
	if p.Attempts == 0 {
		p = defaultRetry
	}
	if p.Initial == 0 {
		return 0 // zero times an infinite power is not a number
	}
	d := float64(p.Initial) * math.Pow(max(p.Factor, 1), float64(max(c.attempt-1-c.backoffExempt(), 0)))
	if p.Max > 0 {
		d = min(d, float64(p.Max))
	}
	b := binary.BigEndian.AppendUint64(append([]byte("retry"), s.start.Seed...), uint64(c.N)<<32|uint64(c.attempt))
	random := rand.New(rand.NewChaCha8(sha256.Sum256(b))).Float64()
	return time.Duration(min(d*(1-p.Jitter*random), float64(maxRetryAfter)))
}

// Recover returns what follows when an owner takes over a run: the outcome of an attempt without a result is unknown,
// unless the call may be repeated. A run that has ended repeats nothing. With unseen, the owner before was not seen to
// stop, see flawless.Unknown.
func (s *State) Recover(now int64, unseen bool, terms func(*OpenCall) Terms) (out []flawless.Entry) {
	if unseen {
		defer func() { s.markUnseen(out) }()
	}
	if s.held != nil {
		return s.recoverHeld(now, terms)
	}
	const why = "the engine stopped after the call began and before its outcome was logged"
	at := max(now, s.at)
	for _, c := range s.OpenCalls() {
		if c.invalid != nil || c.kind.Perform == nil || c.nextAt != 0 || c.awaitsPermit || c.unknownReason != "" {
			continue
		}
		ok, _, rule := s.mayRepeat(c, now, terms(c))
		switch {
		case c.policy.Idempotent && s.status != "":
			out = append(out, flawless.Entry{At: at, Arrival: &flawless.Arrival{Answer: effect.UnknownAnswer(s.id, c.Call, true, why, "", 0),
				Note: why + "; the run has ended, so it is not sent again"}})
		case ok && s.status == "":
			out = append(out, flawless.Entry{At: at, Attempt: &flawless.Attempt{Call: c.N, N: c.attempt + 1, Begun: true, Sent: c.suspectSince(), Rule: rule,
				Result: why + "; " + rule + ", so it is sent again"}})
		case rule != "" && s.status == "":
			out = append(out, c.concluded(s.unknownOutcome(c, flawless.Entry{At: at}, why+"; it is not sent again: "+rule, "", 0, nil), terms(c)))
		default:
			out = append(out, c.concluded(s.unknownOutcome(c, flawless.Entry{At: at}, why, "", 0, nil), terms(c)))
		}
	}
	return out
}

// Recheck is asked right before an attempt is performed. It returns entries if the attempt must not be performed: the
// run has ended, or the call may no longer be repeated. Otherwise it returns the time within which the attempt must be
// sent; 0 for no limit.
func (s *State) Recheck(t Attempt, now int64, terms Terms) (entries []flawless.Entry, limit time.Duration) {
	c := s.open.all[t.Call]
	at := max(now, s.at)
	switch {
	case s.status == "", s.status == flawless.Completed && (t.N == 1 || c.fresh):
	case c.safeToRepeat():
		text := fmt.Sprintf("withdrawn before attempt %d began: the run %s", t.N, endedText(s.status))
		e := s.withdrawnEntry(withdrawal{c.N, effect.NotBegun, text})
		e.At = at
		return []flawless.Entry{e}, 0
	default:
		text := fmt.Sprintf("attempt %d was not begun because the run %s; an attempt at %s was sent and may have taken effect", t.N, endedText(s.status), formatTime(c.suspectAt))
		return []flawless.Entry{c.concluded(s.unknownOutcome(c, flawless.Entry{At: at}, text, "", 0, nil), terms)}, 0
	}
	within, _ := c.keyWindow(terms)
	if !c.isRepetition(int64(within)) {
		return nil, 0
	}
	ok, until, why := s.mayRepeat(c, now, terms)
	switch suspect, _ := c.firstSuspect(); {
	case ok:
	case suspect == 0 && !c.lastStatusInconclusive(): // each attempt was answered, and none took effect
		return []flawless.Entry{c.concluded(s.giveUp(c, flawless.Entry{At: at}, "it is not sent again: "+why), terms)}, 0
	default:
		text := fmt.Sprintf("an attempt at %s was sent and may have taken effect; it is not sent again: %s", formatTime(cmp.Or(suspect, c.reachedAt())),
			cmp.Or(why, "its idempotency key is no longer declared as honoured"))
		return []flawless.Entry{c.concluded(s.unknownOutcome(c, flawless.Entry{At: at}, text, "", 0, nil), terms)}, 0
	}
	if until != 0 {
		limit = time.Duration(until - max(now, s.at))
	}
	return nil, limit
}

// safeToRepeat reports whether a call without an attempt in flight certainly had no effect, or may be made again
// without harm.
func (c *OpenCall) safeToRepeat() bool { return c.suspectAt == 0 || c.policy.Idempotent }

// stepAttempt applies an entry about an attempt.
func (c *OpenCall) stepAttempt(a *flawless.Attempt, at int64) {
	c.fresh = c.staysFresh(a)
	switch {
	case a.Begun:
		if a.Result != "" { // a restart begins it, and the outcome of the attempt before is unknown
			c.suspectAt, c.inconclusive = cmp.Or(a.Sent, c.suspectSince()), false
		}
		if c.attemptAt = at; a.N == 1 {
			c.firstAt = at
		}
	case a.Waits != "":
	default:
		if a.Failed != nil {
			c.inProgress = workInProgress(c.inProgress, a.Failed.Status, a.Sent != 0 && !a.Mild)
			c.lastFailure, c.suspectAt, c.inconclusive, c.firstAt = a, a.Sent, a.Mild, a.Since
		} else if c.policy.Idempotent && !c.awaitsPermit { // held while in flight, or logged by an engine that said no more
			c.suspectAt = c.suspectSince()
		}
	}
	c.attempt, c.nextAt, c.awaitsPermit = a.N, a.Next, a.Waits != ""
}

// Retrying returns the calls that have failed and are retried, at most flawless.MaxRetrying of them. The caller must
// not change them.
func (s *State) Retrying() []flawless.Retrying {
	if s.status != "" {
		return nil
	}
	if s.open.retryingView == nil {
		s.open.retryingView = s.open.retryingCalls()
	}
	return s.open.retryingView
}

// retryingCalls computes Retrying for an open run.
func (o *openCalls) retryingCalls() (out []flawless.Retrying) {
	for _, c := range o.firstN(retrying, flawless.MaxRetrying) {
		r := flawless.Retrying{Call: c.N, Request: c.policy.Title, Since: time.Unix(0, c.firstAttemptAt()), Attempts: c.lastFailure.N, Reason: c.lastFailure.Result, Rule: c.lastFailure.Rule}
		if c.nextAt != 0 {
			at := time.Unix(0, c.nextAt)
			r.Next = &at
		}
		if c.lastFailure.Until != 0 {
			at := time.Unix(0, c.lastFailure.Until)
			r.Until = &at
		}
		out = append(out, r)
	}
	return out
}

// formatTime formats a time for people.
func formatTime(at int64) string { return time.Unix(0, at).UTC().Format(time.RFC3339) }

// formatDuration formats a duration for people, in the largest units that hold it.
func formatDuration(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d >= 2*day && d%day == 0:
		return fmt.Sprintf("%d days", d/day)
	case d >= 100*day:
		return fmt.Sprintf("more than %d days", d/day)
	case d%time.Hour == 0 && d > 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d%time.Minute == 0 && d > 0:
		return fmt.Sprintf("%dm", d/time.Minute)
	}
	return d.Round(time.Millisecond).String()
}
