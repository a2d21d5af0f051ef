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

// This file is a part of the state of a run: whether a call is tried again after a try that failed or was cut
// short, and when. As core.go it decides and does nothing.
//
// Two questions are kept apart. May it be sent again, if something of it was sent already: that is a question
// of harm, answered by mayRepeat alone, and asked again right before a try begins (recall). And is it to be
// tried again: that is a question of patience, answered by the code's policy or else by the operator's terms.

// byDefault is how a call without a policy of its own is tried again, for as long as the terms allow.
var defaultRetry = effect.Retry{Initial: time.Second, Factor: 2, Max: 5 * time.Minute, Jitter: 0.2}

// maxWish is the longest Retry-After that is heeded where nothing limits the time for retries.
const maxRetryAfter = 24 * time.Hour

// lastChance is how long before a key may be forgotten the last try under it begins, so that it can still be
// answered; of a short window it is a tenth.
const keyMargin = 30 * time.Second

// sentAt is when the first try began that may have taken effect, if the one under way is counted, too.
func (c *OpenCall) suspectSince() int64 { return cmp.Or(c.suspectAt, c.attemptAt, c.madeAt) }

// reachedAt is when the first try began that has reached the server, answered or not; 0 where none has. The
// server knows the key of the call since then.
func (c *OpenCall) reachedAt() int64 {
	if c.lastFailure != nil && c.lastFailure.Reached != 0 {
		return c.lastFailure.Reached
	}
	return c.suspectAt
}

// begunAt is when the first try began.
func (c *OpenCall) firstAttemptAt() int64 { return cmp.Or(c.firstAt, c.madeAt) }

// eased is how many of the tries so far do not make the waits longer: those that people hurried, and all before
// one that was begun anew.
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

// KeyEnds is when the server of a call may forget its key, if the next try is a repetition; 0 where it has no
// key, or where it is none.
func (s *State) KeyEnds(c *OpenCall, now int64, op Terms) int64 {
	if within, _ := c.keyWindow(op); !c.isRepetition(int64(within)) {
		return 0
	}
	_, until, _ := s.mayRepeat(c, now, op)
	return until
}

// keyed is for how long the server of a call knows its idempotency key, and who says so; 0 where nobody does,
// or where the call needs no key to be repeated.
func (c *OpenCall) keyWindow(t Terms) (time.Duration, string) {
	switch {
	case c.policy.Within > 0:
		return c.policy.Within, "the code"
	case c.policy.Idempotent || c.policy.ByCode || c.policy.Keyless:
		return 0, ""
	}
	return t.Within, t.KeyBy
}

// mayRepeat tells whether a request of which something was sent may be sent again, and until when; 0 is for
// ever. why is the reason for either, "" where nobody has ever said that it may.
func (s *State) mayRepeat(c *OpenCall, now int64, t Terms) (ok bool, until int64, why string) {
	within, by := c.keyWindow(t)
	sent := c.keyKnownSince(int64(within))
	switch {
	case c.policy.Idempotent && c.policy.ByCode:
		return true, 0, "the code says that it is idempotent"
	case c.policy.Idempotent:
		return true, 0, "its method is idempotent"
	case within == 0:
		return false, 0, ""
	}
	until = sent + int64(within)
	rule := fmt.Sprintf("its idempotency key is honoured for %s (%s)", formatDuration(within), by)
	switch {
	case now < sent:
		return false, until, rule + ", but the clock shows a time before the call was sent, so nobody knows how much of that is left"
	case max(now, s.at) >= until:
		return false, until, rule + ", which ended at " + formatTime(until)
	}
	return true, until, rule + ", until " + formatTime(until)
}

// Result returns the entry that the end of a try leads to, or none where the try is not the one
// that is awaited.
func (s *State) Result(t Try, r effect.Result, now int64, op Terms) []flawless.Entry {
	c := s.open.all[t.Call]
	if c == nil || c.attempt != t.N || c.nextAt != 0 || c.awaitsPermit || c.unknownReason != "" {
		return nil
	}
	e := flawless.Entry{At: max(now, s.at)}
	v := s.judge(c, &r, op)
	next := s.nextAttempt(c, &r, &v, now, op)
	within, _ := c.keyWindow(op)
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
		text = fmt.Sprintf("withdrawn after try %d (%s): %s", c.attempt, r.Text, withdrawalCause(c.withdrawnWhy))
		e.Arrival = &flawless.Arrival{Answer: effect.WithdrawnAnswer(c.N, effect.Abandoned, text), Stages: r.Stages, Note: text}
	case v.unknown:
		reason := ""
		if r.Reason == "timeout" {
			reason = r.Reason
		}
		if e = s.unknownOutcome(c, e, text, reason, r.Status, r.Stages); e.Arrival != nil && text == r.Text {
			if r.Answer.Call = c.N; c.Kind != effect.HTTP { // a stream that cannot be read on has an answer of its own
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
	return []flawless.Entry{c.concluded(e, op)}
}

var outcomeNames = [...]string{effect.NotSent: "not_sent", effect.Unknown: "unknown", effect.Answered: "answered"}

// verdict is what a try says about its call.
type verdict struct {
	unknown      bool   // whether the call has taken effect is not known
	suspectAt    int64  // since when, see flawless.Attempt
	inconclusive bool   // and every such try was answered with a status that says so itself
	busy         bool   // the server still carries out a try before
	final        bool   // no other try can tell more
	text         string // for people

	rule       string // why it is tried again
	until      int64  // and how long, 0 is without end
	stopReason string // why it is not, where there is more to say than that
}

// judge tells what a try says about its call. A try that was not sent says nothing about one before it that was.
// A server that honours keys answers a repeated request with 409 while it carries out the first one, and with
// 422 where it knows the key from another request (draft-ietf-httpapi-idempotency-key-header, section 2.7).
func (s *State) judge(c *OpenCall, r *effect.Result, op Terms) verdict {
	v := verdict{suspectAt: c.suspectAt, inconclusive: c.inconclusive, text: r.Text, unknown: r.Outcome == effect.Unknown}
	if v.unknown {
		v.suspectAt, v.inconclusive = c.suspectSince(), false
	}
	within, _ := c.keyWindow(op)
	opened, mild := c.firstSuspect()
	answered := within > 0 && r.Outcome == effect.Answered && (c.reachedAt() != 0 || opened != 0) // to a repetition under the key
	switch {
	case answered && r.Status == http.StatusConflict:
		v.unknown, v.busy, v.inconclusive, v.text = true, true, false, r.Text+" to a repetition: the server says that it still carries out a try before this one"
	case answered && r.Status == http.StatusUnprocessableEntity:
		v.unknown, v.final, v.inconclusive, v.text = true, true, false, r.Text+" to a repetition: the server says that it knows the idempotency key from another request"
	case answered && opened != 0 && rejectedEarly(r.Status) && !(mild && !provesNoEffect(r.Status)):
		v.unknown, v.busy, v.text = true, true, fmt.Sprintf("%s to a repetition, which says nothing about the try that began at %s and may have taken effect", r.Text, formatTime(opened))
	case r.Outcome == effect.NotSent && c.suspectAt != 0:
		v.unknown, v.text = true, fmt.Sprintf("%s; a try that began at %s was sent and may have taken effect", r.Text, formatTime(c.suspectAt))
	}
	if v.unknown && v.suspectAt == 0 {
		v.suspectAt = cmp.Or(c.reachedAt(), c.suspectSince())
	}
	return v
}

// again returns when the next try begins, 0 where there is none, and completes the verdict.
func (s *State) nextAttempt(c *OpenCall, r *effect.Result, v *verdict, now int64, op Terms) int64 {
	at := max(now, s.at)
	// Nobody waits for a call that was withdrawn, unless it may have taken effect: then the code waits for the
	// outcome, and another try may tell it.
	if s.status != "" || v.final || c.withdrawnWhy != "" && (!v.unknown || c.policy.Idempotent) {
		return 0
	}
	key := int64(math.MaxInt64) // no try begins at that time or later
	may, until, why := s.mayRepeat(c, now, op)
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
	most, by := op.Retry, op.RetryBy
	if c.policy.For != nil {
		most, by = *c.policy.For, "the code"
	}
	switch own := c.policy.Retry.Attempts > 0; {
	case own && (!r.Again && !v.busy && !(v.unknown && r.Passes) || c.attempt >= c.policy.Retry.Attempts):
		return 0
	case own && c.policy.For == nil:
		v.rule, most = v.rule+", retried by the policy of the code", 0
	case !own && !r.Passes && !v.busy || most == 0:
		return 0
	default:
		v.rule += fmt.Sprintf(", retried for %s (%s)", formatDuration(most), by)
	}
	within, _ := c.keyWindow(op)
	if !v.unknown && within > 0 && (r.Outcome == effect.Answered || c.isRepetition(int64(within))) {
		// Whatever the reason for the next try: the server must not have forgotten what it would repeat. And code
		// that is not given a status cannot know that the try may have taken effect.
		if r.Outcome == effect.Answered && !provesNoEffect(r.Status) {
			v.suspectAt, v.inconclusive = c.suspectSince(), c.suspectAt == 0 || c.inconclusive
		}
		if !may {
			return s.keyExpires(c, v, why)
		}
		v.until, key = until, until
	}
	left := int64(maxRetryAfter)
	if most > 0 {
		end := c.firstAttemptAt() + int64(most)
		if left = end - at; left <= 0 {
			v.stopReason = fmt.Sprintf("it was retried for %s (%s), since %s", formatDuration(most), by, formatTime(c.firstAttemptAt()))
			return 0
		}
		v.until = min(end, cmp.Or(v.until, end))
	}
	if int64(r.After) > left {
		v.stopReason = fmt.Sprintf("the server asks to be left alone for %s, which is longer than it may be waited for (%s), so it is not tried again", formatDuration(r.After), formatDuration(time.Duration(left)))
		return 0
	}
	wait := max(int64(s.backoff(c)), int64(r.After))
	if most > 0 {
		wait = min(wait, left)
	}
	if room := key - at; wait >= room { // one more try before the key may be forgotten
		wait = room - int64(min(keyMargin, within/10))
		switch {
		case int64(r.After) > max(wait, 0):
			return s.keyExpires(c, v, fmt.Sprintf("%s, and the server asks to be left alone for %s", why, formatDuration(r.After)))
		case wait <= 0:
			return s.keyExpires(c, v, why+", and too little of that is left for another try")
		}
	}
	return at + wait
}

// tooLateFor completes the verdict on a try that no other one follows because its key may be forgotten by then. A
// status is the answer all the same, unless something may have taken effect.
func (s *State) keyExpires(c *OpenCall, v *verdict, why string) int64 {
	opened, _ := c.firstSuspect()
	v.stopReason, v.unknown = why, v.unknown || v.suspectAt != 0 || opened != 0
	return 0
}

// inDoubt completes the entry that ends the trying of a call which may have taken effect.
func (s *State) unknownOutcome(c *OpenCall, e flawless.Entry, text, reason string, status int, stages []flawless.Stage) flawless.Entry {
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
		return fmt.Sprintf("try %d: %s", c.attempt, text)
	case o == effect.Answered && over == "":
		return ""
	}
	return text
}

// delay is how long to wait after the try that has just ended. Its random part comes from the run's
// seed, so it needs no place in the log.
func (s *State) backoff(c *OpenCall) time.Duration {
	p := c.policy.Retry
	if p.Attempts == 0 {
		p = defaultRetry
	}
	if p.Initial == 0 {
		return 0 // times a power that may be infinite it is no number
	}
	d := float64(p.Initial) * math.Pow(max(p.Factor, 1), float64(max(c.attempt-1-c.backoffExempt(), 0)))
	if p.Max > 0 {
		d = min(d, float64(p.Max))
	}
	b := binary.BigEndian.AppendUint64(append([]byte("retry"), s.start.Seed...), uint64(c.N)<<32|uint64(c.attempt))
	random := rand.New(rand.NewChaCha8(sha256.Sum256(b))).Float64()
	return time.Duration(min(d*(1-p.Jitter*random), float64(maxRetryAfter)))
}

// Lost returns what follows when an owner takes over: the tries that were begun and have no outcome
// are unknown, unless they may be repeated. A run that has ended begins nothing again.
func (s *State) Recover(now int64, op func(*OpenCall) Terms) (out []flawless.Entry) {
	if s.held != nil {
		return s.recoverHeld(now)
	}
	const why = "the engine stopped after the call was begun and before its outcome was written"
	at := max(now, s.at)
	for _, c := range s.OpenCalls() {
		if c.invalid != nil || c.kind.Perform == nil || c.nextAt != 0 || c.awaitsPermit || c.unknownReason != "" {
			continue
		}
		ok, _, rule := s.mayRepeat(c, now, op(c))
		switch {
		case c.policy.Idempotent && s.status != "":
			out = append(out, flawless.Entry{At: at, Arrival: &flawless.Arrival{Answer: effect.UnknownAnswer(s.id, c.Call, true, why, "", 0),
				Note: why + "; the run has ended, so it is not sent again"}})
		case ok && s.status == "":
			out = append(out, flawless.Entry{At: at, Attempt: &flawless.Attempt{Call: c.N, N: c.attempt + 1, Begun: true, Sent: c.suspectSince(), Rule: rule,
				Result: why + "; " + rule + ", so it is sent again"}})
		case rule != "" && s.status == "":
			out = append(out, c.concluded(s.unknownOutcome(c, flawless.Entry{At: at}, why+"; it is not sent again: "+rule, "", 0, nil), op(c)))
		default:
			out = append(out, c.concluded(s.unknownOutcome(c, flawless.Entry{At: at}, why, "", 0, nil), op(c)))
		}
	}
	return out
}

// Recall returns what becomes of a call whose try is about to be performed and must not be: the run has ended
// meanwhile and begins it no more, or it would repeat what was sent and may not be repeated any longer. It
// returns none where the try may be performed, and within which time it has to be sent; 0 is no limit.
func (s *State) Recheck(t Try, now int64, op Terms) (entries []flawless.Entry, most time.Duration) {
	c := s.open.all[t.Call]
	at := max(now, s.at)
	switch {
	case s.status == "", s.status == flawless.Completed && (t.N == 1 || c.fresh):
	case c.safeToRepeat():
		text := fmt.Sprintf("withdrawn before try %d began: the run %s", t.N, endedText(s.status))
		e := s.withdrawnEntry(withdrawal{c.N, effect.NotBegun, text})
		e.At = at
		return []flawless.Entry{e}, 0
	default:
		return []flawless.Entry{s.unknownOutcome(c, flawless.Entry{At: at}, fmt.Sprintf("try %d was not begun, the run %s; a try that began at %s was sent and may have taken effect", t.N, endedText(s.status), formatTime(c.suspectAt)), "", 0, nil)}, 0
	}
	within, _ := c.keyWindow(op)
	if !c.isRepetition(int64(within)) {
		return nil, 0
	}
	ok, until, why := s.mayRepeat(c, now, op)
	switch opened, _ := c.firstSuspect(); {
	case ok:
	case opened == 0 && !c.lastStatusInconclusive(): // it was answered, and not carried out
		return []flawless.Entry{s.giveUp(c, flawless.Entry{At: at}, "it is not sent again: "+why)}, 0
	default:
		text := fmt.Sprintf("a try that began at %s was sent and may have taken effect; it is not sent again: %s", formatTime(cmp.Or(opened, c.reachedAt())),
			cmp.Or(why, "nothing says any more that its idempotency key is honoured"))
		return []flawless.Entry{c.concluded(s.unknownOutcome(c, flawless.Entry{At: at}, text, "", 0, nil), op)}, 0
	}
	if until != 0 {
		most = time.Duration(until - max(now, s.at))
	}
	return nil, most
}

// sure tells whether a call that has no try under way is known to have had no effect, or may be made again
// by anybody without harm.
func (c *OpenCall) safeToRepeat() bool { return c.suspectAt == 0 || c.policy.Idempotent }

// tried takes in what the log says of a try.
func (c *OpenCall) stepAttempt(a *flawless.Attempt, at int64) {
	c.fresh = c.staysFresh(a)
	switch {
	case a.Begun:
		if a.Result != "" { // a restart begins it, and what became of the try before is not known
			c.suspectAt, c.inconclusive = cmp.Or(a.Sent, c.suspectSince()), false
		}
		if c.attemptAt = at; a.N == 1 {
			c.firstAt = at
		}
	case a.Waits != "":
	default:
		if a.Failed != nil {
			c.lastFailure, c.suspectAt, c.inconclusive, c.firstAt = a, a.Sent, a.Mild, a.Since
		} else if c.policy.Idempotent && !c.awaitsPermit { // held back while it was under way, or of an engine that did not say more
			c.suspectAt = c.suspectSince()
		}
	}
	c.attempt, c.nextAt, c.awaitsPermit = a.N, a.Next, a.Waits != ""
}

// Retrying returns the calls that have failed and are tried again, at most the first flawless.MaxRetrying. The caller must
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

// beingRetried is Retrying of an open run.
func (o *openCalls) retryingCalls() (out []flawless.Retrying) {
	for _, c := range o.firstN(retrying, flawless.MaxRetrying) {
		r := flawless.Retrying{Call: c.N, Request: c.policy.Title, Since: time.Unix(0, c.firstAttemptAt()), Tries: c.lastFailure.N, Reason: c.lastFailure.Result, Rule: c.lastFailure.Rule}
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

// stamp is a moment for people.
func formatTime(at int64) string { return time.Unix(0, at).UTC().Format(time.RFC3339) }

// span is a time for people, in the largest units that hold it.
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
