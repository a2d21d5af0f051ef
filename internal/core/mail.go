package core

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/flawless-engine/flawless"
)

// refuses returns why none of the calls that wait for messages of this type takes the message. It returns
// nil where there is none: the message then waits for one that it fits.
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

// Accept returns the entry with which a run takes a message in, none where it has it already, or why
// it cannot.
func (s *State) Accept(m flawless.Message, now int64) ([]flawless.Entry, error) {
	switch { // who has it already says so even after its end: the sender may not have heard it
	case m.From != "" && s.senders[m.From] >= m.Call:
		return nil, nil
	case m.Key != "":
		if was, ok := s.messageKeys.digests[m.Key]; ok {
			if was != digest(m) {
				return nil, fmt.Errorf("sending to run %s: another message came with the key %q before; use another key: %w", s.id, m.Key, flawless.Conflict)
			}
			return nil, nil
		}
	}
	if s.status != "" {
		return nil, fmt.Errorf("sending to run %s: it is %s, nothing was stored: %w", s.id, s.status, flawless.Conflict)
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
	// What a fork has of the past came to the run it was forked from. Its sender may be a run of another server, and one
	// of the same name here has sent nothing yet. A client's key stays: the fork has what came with it.
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
