package core

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/flawless-engine/flawless"
)

// mismatch returns why no waiting call accepts a message of this type, or nil if one does or none is waiting. In the
// latter case the message waits for a call that it fits.
func (s *State) mismatch(m flawless.Message) error {
	var why error
	for _, c := range s.mail.waitingFor(m.Type) {
		err := c.Fits(c.receives.Schema, m.Body, fmt.Sprintf("sending to run %s: the message does not fit what it receives as %s", s.id, m.Type))
		if err == nil {
			return nil
		}
		if why == nil {
			why = err
		}
	}
	return why
}

// Accept returns the entry with which a run accepts a message. It returns none if the run has the message already, or
// an error if it refuses it.
func (s *State) Accept(m flawless.Message, now int64) ([]flawless.Entry, error) {
	switch { // a duplicate is confirmed even after the end of the run: the sender may not know that it arrived
	case m.From != "" && s.senders[m.From] >= m.Call:
		return nil, nil
	case m.Key != "":
		if was, ok := s.messageKeys.digests[m.Key]; ok {
			if was != digest(m) {
				return nil, fmt.Errorf("sending to run %s: the key %q was used for a different message; use another key: %w", s.id, m.Key, flawless.Conflict)
			}
			return nil, nil
		}
	}
	if s.status != "" {
		return nil, fmt.Errorf("sending to run %s: it is %s, so the message was not stored: %w", s.id, s.status, flawless.Conflict)
	}
	if err := s.mismatch(m); err != nil {
		return nil, err
	}
	m.N = s.messages + 1
	return []flawless.Entry{{At: max(now, s.at), Message: &m}}, nil
}

func digest(m flawless.Message) string {
	sum := sha256.Sum256(append([]byte(m.Type+"\x00"), m.Body...))
	return hex.EncodeToString(sum[:16])
}

func (s *State) stepMessage(m flawless.Message) {
	s.messages = m.N
	// The messages in the past of a fork were sent to the run it was forked from, perhaps on another server. A run with
	// the sender's id here has sent nothing yet. Client keys stay: the fork has the messages that came with them.
	if o := s.start.Origin; m.From != "" && (o == nil || s.turns >= o.Turn) {
		s.senders[m.From] = m.Call
	}
	if m.Key != "" {
		s.messageKeys.add(m.Key, digest(m), s.at)
	}
	if s.status == "" {
		s.mail.add(m)
	}
}
