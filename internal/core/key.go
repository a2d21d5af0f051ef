package core

import (
	"cmp"
	"net/http"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
)

// This file is a part of the state of a run: what the server of a call may know from tries that do not count as
// tries of the call. Those are the tries of an earlier call under the same idempotency key (a library repeats a
// request by itself, a confirmation found nothing), and the tries before a person said that the call did not
// happen. The server still counts its window from the first of them, and still answers 409 to a repetition.

// keyPast is what the server of a call may know of it already. The zero value is nothing.
type keyHistory struct {
	// ReachedAt is the start of the first attempt that reached the server: it has known the key since then.
	ReachedAt int64 `json:"Reached,omitempty"`
	// SuspectAt is the start of the first attempt that may have taken effect; 0 if certainly none has.
	SuspectAt int64 `json:"Sent,omitempty"`
	// Inconclusive reports that each suspect attempt got a status that leaves its effect open, such as 504. Code that
	// gets one more such status learns no less than it knew.
	Inconclusive bool `json:"Mild,omitempty"`
	// ConcurrentAt is the time since which the server may know the key from calls that were open when this one was
	// made; 0 if there were none.
	ConcurrentAt int64 `json:"Concurrent,omitempty"`
}

// maxKeys is how many keys of earlier calls a run remembers. The oldest is forgotten first.
const maxKeyHistories = 1000

// expired tells whether the server had forgotten the tries of before when somebody said that there is to be
// another one. Then its window begins anew.
func (c *OpenCall) windowOver(within int64) bool {
	return c.history.ReachedAt == 0 || c.decidedAt >= c.history.ReachedAt+within
}

// opened is when the first try began that may have taken effect, the one under way not counted, and whether each
// of them is mild; 0 where there is none. That does not end with the time of the key: the server may remember a key for
// longer than anybody says, and may still work on that try. Only the time in which the call may be repeated begins anew.
func (c *OpenCall) firstSuspect() (since int64, mild bool) {
	switch b := c.history; {
	case b.SuspectAt == 0:
		return c.suspectAt, c.inconclusive
	case c.suspectAt == 0:
		return b.SuspectAt, b.Inconclusive
	default:
		return b.SuspectAt, b.Inconclusive && c.inconclusive
	}
}

// knownSince is since when the server knows the key of a call, if the try under way has reached it.
func (c *OpenCall) keyKnownSince(within int64) int64 {
	if c.windowOver(within) {
		return c.ownKeySince()
	}
	return c.history.ReachedAt
}

// keySince is since when the server knows the key of a call, where it has forgotten the calls that ended before.
func (c *OpenCall) ownKeySince() int64 {
	return cmp.Or(c.history.ConcurrentAt, c.reachedAt(), c.suspectSince())
}

// repeats tells whether the next try of a call repeats something that the server may know of.
func (c *OpenCall) isRepetition(within int64) bool {
	return c.suspectAt != 0 || within > 0 && (c.reachedAt() != 0 || c.history.ConcurrentAt != 0 || c.history.SuspectAt != 0 && !c.windowOver(within))
}

// dated adds to the end of a call since when the server knows its key, where that is not said by its own tries. Where
// nobody says at present that the key is honoured, within is 0, and what was known is kept: somebody may say so later.
func (c *OpenCall) withKeyTime(e flawless.Entry, within int64) flawless.Entry {
	switch {
	case within > 0 && c.windowOver(within):
	case e.Unknown != nil:
		e.Unknown.Reached = c.history.ReachedAt
	case e.Arrival != nil:
		e.Arrival.Reached = c.history.ReachedAt
	}
	return e
}

// concluded adds to the end of a call what the code and later calls under its key go by.
func (c *OpenCall) concluded(e flawless.Entry, op Terms) flawless.Entry {
	within, _ := c.keyWindow(op)
	if a := e.Arrival; a != nil && c.Kind == effect.HTTP && effect.IsInterrupted(a.Answer) {
		a.Answer = effect.RepeatUntil(a.Answer, c.repeatUntil(int64(within), op))
	}
	return c.withKeyTime(e, int64(within))
}

// repeatUntil is when the time for repeating a call ends that was sent and whose outcome is unknown: the time for its
// retries, or that of its key, whichever is earlier.
func (c *OpenCall) repeatUntil(within int64, op Terms) int64 {
	most := op.Retry
	if c.policy.For != nil {
		most = *c.policy.For
	}
	until := addTime(c.firstAttemptAt(), int64(most))
	if within > 0 {
		until = min(until, addTime(c.keyKnownSince(within), within))
	}
	return until
}

// past is what the server of a call may know of it, whose outcome is in doubt.
func (c *OpenCall) historyNow() keyHistory {
	return keyHistory{ReachedAt: cmp.Or(c.history.ReachedAt, c.ownKeySince()), SuspectAt: cmp.Or(c.history.SuspectAt, c.suspectSince())}
}

// knownBy is what the server of a call knows it by, where the code chose the key: calls with the same name are
// repetitions of each other. It is "" where the key is the engine's, or needless.
func keyIdentity(kind string, p *effect.Policy) string {
	if kind != effect.HTTP || p.Idempotent || p.Keyless {
		return ""
	}
	if key := p.OwnKey(); key != "" {
		return p.Known(key)
	}
	return ""
}

// recollect gives a call that the code makes the history of its key. A call that is open may take effect yet, so what
// the server says to another one beside it may be about that.
func (s *State) recallKey(c *OpenCall) {
	if c.keyID == "" {
		return
	}
	c.history, c.decidedAt = s.keyHistories[c.keyID], c.madeAt
	for _, o := range s.open.byKeyID[c.keyID] {
		if o != c {
			c.history.SuspectAt, c.history.Inconclusive = cmp.Or(c.history.SuspectAt, o.suspectSince()), false
			c.history.ConcurrentAt = cmp.Or(c.history.ConcurrentAt, o.ownKeySince())
		}
	}
}

// remember takes in how a call ended, for others that the code makes under its key: one of its own, or one that
// it is told with the answer.
func (s *State) rememberKey(c *OpenCall, a *flawless.Arrival) {
	if c == nil || c.invalid != nil || c.Kind != effect.HTTP || c.policy.Idempotent || c.policy.Keyless {
		return
	}
	if c.keyID == "" && !effect.IsInterrupted(a.Answer) {
		return
	}
	said, known := effect.ParseHTTPAnswer(a.Answer), c.keyID
	switch {
	case known != "":
	case said.Key == "":
		return
	default:
		known = c.policy.Known(said.Key)
	}
	h := c.historyNow()
	if c.unknownAt == 0 { // it was not in doubt until now
		h.ReachedAt = cmp.Or(a.Reached, c.ownKeySince())
	}
	switch {
	case said.Unsure: // it may have taken effect, whatever somebody says
	case said.Status != 0:
		if h.Inconclusive = said.Status >= 400 && !provesNoEffect(said.Status); !h.Inconclusive {
			h.SuspectAt = 0
		}
	case c.reachedAt() == 0: // nothing was sent, and what was known before holds
		return
	default:
		h.SuspectAt, h.Inconclusive = c.history.SuspectAt, c.history.Inconclusive
	}
	if s.keyHistories == nil {
		s.keyHistories = map[string]keyHistory{}
	}
	if s.keyHistories[known] = h; len(s.keyHistories) > maxKeyHistories {
		oldest := ""
		for k, h := range s.keyHistories { // of those of one time the first by name: a replay forgets the same
			if o := s.keyHistories[oldest]; oldest == "" || h.ReachedAt < o.ReachedAt || h.ReachedAt == o.ReachedAt && k < oldest {
				oldest = k
			}
		}
		delete(s.keyHistories, oldest)
	}
}

// openAnswer tells whether the last try was answered with a status that leaves open whether it took effect. While
// nobody says that its key is honoured, and in logs of before, such a try is not among those of Attempt.Sent.
func (c *OpenCall) lastStatusInconclusive() bool {
	return c.lastFailure != nil && c.lastFailure.Failed.Kind == outcomeNames[effect.Answered] && !provesNoEffect(c.lastFailure.Failed.Status)
}

// nothingHappened tells whether a status says for sure that the request it answers was not carried out. Statuses
// from 500 on do not: a gateway gives them whatever the server behind it has done.
func provesNoEffect(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusConflict:
		return false
	}
	return status >= 400 && status <= http.StatusUnavailableForLegalReasons
}

// turnedAway tells whether a server, or what stands in front of it, gives a status to a request before it looks
// at its key. To a repetition such a status is no answer of the call: code that took it for "it was not carried
// out" would make the request anew, under another key.
//   - 500 is not among them: servers that honour keys repeat the answer of the first try, which may be a 500.
//   - 404, 405 and the redirects that keep the method are what a gateway says that has no backend at the moment.
//     303 and the others are what a server says after it has carried out a POST.
//   - What no standard defines comes from gateways, such as 520 to 530.
func rejectedEarly(status int) bool {
	switch status {
	case http.StatusTemporaryRedirect, http.StatusPermanentRedirect,
		http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed,
		http.StatusProxyAuthRequired, http.StatusRequestTimeout, http.StatusMisdirectedRequest,
		http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	}
	return status > http.StatusUnavailableForLegalReasons && status != http.StatusInternalServerError
}
