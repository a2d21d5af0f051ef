package core

import (
	"cmp"
	"net/http"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
)

// This file keeps what the server of a call may know from attempts that do not count as attempts of the call: those of
// an earlier call under the same idempotency key (a library repeats a request, a confirmation finds nothing), and those
// before a person decided that the call did not happen. The server still counts its window from the first of them, and
// still answers a repetition with 409.

// keyHistory is what the server of a call may already know of its key. The zero value is nothing.
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
	// InProgress reports that the last response on the key was 409, see workInProgress.
	InProgress bool `json:"Busy,omitempty"`
}

// maxKeyHistories is how many keys of answered calls a run remembers. The oldest is forgotten first.
const maxKeyHistories = 1000

// windowOver reports whether the server had forgotten the earlier attempts when code or a person decided to send again.
// A new window begins then.
func (c *OpenCall) windowOver(within int64) bool {
	return c.history.ReachedAt == 0 || c.decidedAt >= c.history.ReachedAt+within
}

// firstSuspect returns the start of the first attempt that may have taken effect, not counting one in flight, and
// whether the statuses of all such attempts were inconclusive; 0 for none. The end of the window does not change that:
// the server may remember a key for longer than declared, and may still be working on that attempt. Only the time in
// which the call may be repeated starts again.
func (c *OpenCall) firstSuspect() (since int64, inconclusive bool) {
	switch b := c.history; {
	case b.SuspectAt == 0:
		return c.suspectAt, c.inconclusive
	case c.suspectAt == 0:
		return b.SuspectAt, b.Inconclusive
	default:
		return b.SuspectAt, b.Inconclusive && c.inconclusive
	}
}

// keyKnownSince returns since when the server knows the key of a call, assuming that the attempt in flight has reached
// it.
func (c *OpenCall) keyKnownSince(within int64) int64 {
	if c.windowOver(within) {
		return c.ownKeySince()
	}
	return c.history.ReachedAt
}

// ownKeySince returns the same for a server that has forgotten the calls that ended earlier.
func (c *OpenCall) ownKeySince() int64 {
	return cmp.Or(c.history.ConcurrentAt, c.reachedAt(), c.suspectSince())
}

// isRepetition reports whether the next attempt at a call repeats something that the server may know.
func (c *OpenCall) isRepetition(within int64) bool {
	return c.suspectAt != 0 || within > 0 && (c.reachedAt() != 0 || c.history.ConcurrentAt != 0 || c.history.SuspectAt != 0 && !c.windowOver(within))
}

// withKeyTime adds to the entry that ends a call since when the server knows its key, if its own attempts do not say
// it. If nobody currently declares the key as honoured, within is 0 and the time is kept: somebody may declare it
// later.
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

// concluded adds to the entry that ends a call what the code and later calls under its key rely on.
func (c *OpenCall) concluded(e flawless.Entry, terms Terms) flawless.Entry {
	within, _ := c.keyWindow(terms)
	if a := e.Arrival; a != nil && c.Kind == effect.HTTP && effect.IsInterrupted(a.Answer) {
		a.Answer = effect.RepeatUntil(a.Answer, c.repeatUntil(int64(within), terms))
	}
	return c.withKeyTime(e, int64(within))
}

// repeatUntil returns until when a call with an unknown outcome may be repeated: the end of the time for its retries or
// of its key's window, whichever is earlier.
func (c *OpenCall) repeatUntil(within int64, terms Terms) int64 {
	limit := terms.Retry
	if c.policy.For != nil {
		limit = *c.policy.For
	}
	until := addTime(c.firstAttemptAt(), int64(limit))
	if within > 0 {
		until = min(until, addTime(c.keyKnownSince(within), within))
	}
	return until
}

// historyNow returns what the server may know of a call whose outcome is unknown.
func (c *OpenCall) historyNow() keyHistory {
	return keyHistory{ReachedAt: cmp.Or(c.history.ReachedAt, c.ownKeySince()), SuspectAt: cmp.Or(c.history.SuspectAt, c.suspectSince())}
}

// keyIdentity returns by what the server recognises a call under a key that the code chose: calls with the same
// identity repeat each other. It is "" if the engine chose the key, or none is needed.
func keyIdentity(kind string, p *effect.Policy) string {
	if kind != effect.HTTP || p.Idempotent || p.Keyless {
		return ""
	}
	if key := p.OwnKey(); key != "" {
		return p.Known(key)
	}
	return ""
}

// recallKey gives a new call the history of its key. An open call may still take effect, so what the server says to a
// call beside it may be about that one.
func (s *State) recallKey(c *OpenCall) {
	if c.keyID == "" {
		return
	}
	c.history, c.decidedAt = s.keyHistories[c.keyID], c.madeAt
	c.inProgress = c.history.InProgress
	for _, o := range s.open.byKeyID[c.keyID] {
		if o == c {
			continue
		}
		since := o.ownKeySince()
		if o.nextAt != 0 || o.awaitsPermit { // nothing is in flight, and its next attempt begins later
			since = cmp.Or(o.history.ConcurrentAt, o.reachedAt(), c.madeAt)
		}
		c.history.SuspectAt, c.history.Inconclusive = cmp.Or(c.history.SuspectAt, o.suspectAt, since), false
		c.history.ConcurrentAt = min(since, cmp.Or(c.history.ConcurrentAt, since))
		c.inProgress = c.inProgress || o.inProgress
	}
}

// shareLastWord tells the open calls under a key whether the last response on it was 409. The server speaks of the key,
// whichever call it answers.
func (s *State) shareLastWord(keyID string, inProgress bool) {
	for _, o := range s.open.byKeyID[keyID] {
		s.open.edit(o.N).inProgress = inProgress
	}
}

// rememberKey keeps how a call ended for later calls under its key: a key that the code chose, or one that
// came with the answer.
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
	h.InProgress = workInProgress(c.inProgress, said.Status, said.Unsure)
	s.shareLastWord(known, h.InProgress)
	if c.unknownAt == 0 { // its outcome was not unknown until now
		h.ReachedAt = cmp.Or(a.Reached, c.ownKeySince())
	}
	switch {
	case said.Unsure: // it may have taken effect, even if a person returned an error
	case said.Status != 0:
		if h.Inconclusive = said.Status >= 400 && !provesNoEffect(said.Status); !h.Inconclusive {
			h.SuspectAt = 0
		}
	case c.reachedAt() == 0: // nothing was sent, so the earlier history holds
		return
	default:
		h.SuspectAt, h.Inconclusive = c.history.SuspectAt, c.history.Inconclusive
	}
	if s.keyHistories == nil {
		s.keyHistories = map[string]keyHistory{}
	}
	if s.keyHistories[known] = h; len(s.keyHistories) > maxKeyHistories {
		oldest := ""
		for k, h := range s.keyHistories { // ties go to the first by name, so that a replay forgets the same
			if o := s.keyHistories[oldest]; oldest == "" || h.ReachedAt < o.ReachedAt || h.ReachedAt == o.ReachedAt && k < oldest {
				oldest = k
			}
		}
		delete(s.keyHistories, oldest)
	}
}

// lastStatusInconclusive reports whether the last attempt was answered with a status that leaves its effect open. Such
// an attempt is not counted in Attempt.Sent while the key is not declared as honoured, nor in older logs.
func (c *OpenCall) lastStatusInconclusive() bool {
	return c.lastFailure != nil && c.lastFailure.Failed.Kind == outcomeNames[effect.Answered] && !provesNoEffect(c.lastFailure.Failed.Status)
}

// provesNoEffect reports whether a status proves that the request was not carried out. A status of 500 or above does
// not: a gateway sends it whatever the server behind it has done.
func provesNoEffect(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusConflict:
		return false
	}
	return status >= 400 && status <= http.StatusUnavailableForLegalReasons
}

// workInProgress reports whether a server's last word on a key was 409: it is still working on an earlier attempt. before
// is what it said until now, and status that of the newest response, 0 if there was none. suspect reports that this
// response leaves open whether an earlier attempt took effect; a 409 to the first request has another meaning. A status
// that may come from a gateway says nothing about that work.
func workInProgress(before bool, status int, suspect bool) bool {
	switch {
	case status == http.StatusConflict:
		return before || suspect
	case status == 0, rejectedEarly(status):
		return before
	}
	return false
}

// withLastWord adds to what ends a call with an unknown outcome that its server was last heard to be still working on
// it. The attempts since then got no response that says more: they were lost, not sent, or not begun after a restart.
func (c *OpenCall) withLastWord(text string, status int) (string, int) {
	if status == http.StatusConflict || c.policy.Idempotent || !workInProgress(c.inProgress, status, false) {
		return text, status
	}
	return text + "; the server last answered 409: it was still working on an earlier attempt", http.StatusConflict
}

// rejectedEarly reports whether a server, or a gateway in front of it, may send a status before it looks at the key. To
// a repetition such a status is not the answer of the call: code that took it for "not carried out" would send the
// request again under another key.
//   - 500 is not included: servers that honour keys repeat the answer of the first attempt, which may be a 500.
//   - 404, 405 and the redirects that keep the method come from gateways that have no backend at the moment. 303 and
//     other redirects are sent after a POST was carried out.
//   - Statuses that no standard defines, such as 520 to 530, come from gateways.
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
