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
type keyPast struct {
	// Reached is when the first try began that reached the server: it knows the key since then.
	Reached int64 `json:",omitempty"`
	// Sent is when the first try began that may have taken effect; 0 where certainly none has.
	Sent int64 `json:",omitempty"`
	// Mild is set where every such try was answered with a status that says itself that it may have taken
	// effect: code that gets another such status knows no less than before.
	Mild bool `json:",omitempty"`
}

// maxKeys is how many keys of earlier calls a run remembers. The oldest is forgotten first.
const maxKeys = 1000

// expired tells whether the server had forgotten the tries of before when somebody said that there is to be
// another one. Then its window begins anew.
func (c *OpenCall) expired(within int64) bool {
	return c.before.Reached == 0 || c.word >= c.before.Reached+within
}

// opened is when the first try began that may have taken effect, the one under way not counted, and whether each
// of them is mild; 0 where there is none.
func (c *OpenCall) opened(within int64) (since int64, mild bool) {
	b := c.before
	switch {
	case b.Sent == 0, b.Mild && c.expired(within):
		return c.sent, c.mild
	case c.sent == 0:
		return b.Sent, b.Mild
	}
	return b.Sent, b.Mild && c.mild
}

// knownSince is since when the server knows the key of a call, if the try under way has reached it.
func (c *OpenCall) knownSince(within int64) int64 {
	if c.expired(within) {
		return cmp.Or(c.reachedAt(), c.sentAt())
	}
	return c.before.Reached
}

// repeats tells whether the next try of a call repeats something that the server may know of.
func (c *OpenCall) repeats(within int64) bool {
	return c.sent != 0 || within > 0 && (c.reachedAt() != 0 || c.before.Sent != 0 && !c.expired(within))
}

// dated adds to the end of a call since when the server knows its key, where that is not said by its own tries. Where
// nobody says at present that the key is honoured, within is 0, and what was known is kept: somebody may say so later.
func (c *OpenCall) dated(e flawless.Entry, within int64) flawless.Entry {
	switch {
	case within > 0 && c.expired(within):
	case e.Unknown != nil:
		e.Unknown.Reached = c.before.Reached
	case e.Arrival != nil:
		e.Arrival.Reached = c.before.Reached
	}
	return e
}

// past is what the server of a call may know of it, whose outcome is in doubt.
func (c *OpenCall) past() keyPast {
	return keyPast{Reached: cmp.Or(c.before.Reached, c.reachedAt(), c.sentAt()), Sent: cmp.Or(c.before.Sent, c.sentAt())}
}

// recollect gives a call that the code makes the history of its key.
func (s *State) recollect(c *OpenCall) {
	if c.bad != nil || c.Kind != effect.HTTP || len(s.told) == 0 {
		return
	}
	if key := c.policy.OwnKey(); key != "" {
		c.before, c.word = s.told[c.policy.Known(key)], c.madeAt
	}
}

// remember takes in how a call ended, for others that the code makes under its key: one of its own, or one that
// it is told with the answer.
func (s *State) remember(c *OpenCall, a *flawless.Arrival) {
	if c == nil || c.bad != nil || c.Kind != effect.HTTP || c.policy.Idempotent || c.policy.Keyless {
		return
	}
	key := c.policy.OwnKey()
	if key == "" && !effect.IsInterrupted(a.Answer) {
		return
	}
	said := effect.ParseHTTPAnswer(a.Answer)
	if key = cmp.Or(key, said.Key); key == "" {
		return
	}
	h := c.past()
	if c.since == 0 { // it was not in doubt until now
		h.Reached = cmp.Or(a.Reached, c.reachedAt(), c.sentAt())
	}
	switch {
	case said.Unsure: // it may have taken effect, whatever somebody says
	case said.Status != 0:
		if h.Mild = said.Status >= 400 && !nothingHappened(said.Status); !h.Mild {
			h.Sent = 0
		}
	case c.reachedAt() == 0: // nothing was sent, and what was known before holds
		return
	default:
		h.Sent, h.Mild = c.before.Sent, c.before.Mild
	}
	if s.told == nil {
		s.told = map[string]keyPast{}
	}
	if s.told[c.policy.Known(key)] = h; len(s.told) > maxKeys {
		oldest := ""
		for k, h := range s.told { // of those of one time the first by name: a replay forgets the same
			if o := s.told[oldest]; oldest == "" || h.Reached < o.Reached || h.Reached == o.Reached && k < oldest {
				oldest = k
			}
		}
		delete(s.told, oldest)
	}
}

// openAnswer tells whether the last try was answered with a status that leaves open whether it took effect. While
// nobody says that its key is honoured, and in logs of before, such a try is not among those of Attempt.Sent.
func (c *OpenCall) openAnswer() bool {
	return c.failed != nil && c.failed.Failed.Kind == outcomes[effect.Answered] && !nothingHappened(c.failed.Failed.Status)
}

// nothingHappened tells whether a status says for sure that the request it answers was not carried out. Statuses
// from 500 on do not: a gateway gives them whatever the server behind it has done.
func nothingHappened(status int) bool {
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
func turnedAway(status int) bool {
	switch status {
	case http.StatusTemporaryRedirect, http.StatusPermanentRedirect,
		http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed,
		http.StatusProxyAuthRequired, http.StatusRequestTimeout, http.StatusMisdirectedRequest,
		http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	}
	return status > http.StatusUnavailableForLegalReasons && status != http.StatusInternalServerError
}
