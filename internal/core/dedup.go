package core

import (
	"maps"
	"time"
)

// A message that arrives twice is accepted once. So a run remembers the keys of messages from clients, and the newest
// sending call of each run that sent. Both are part of each image, so neither may grow for as long as the run lives.

const (
	// MaxMessageKeys is how many keys a run remembers, and KeyMemory how long it remembers older ones beyond that: a
	// client that repeats a message within that time is safe, however many others there are.
	MaxMessageKeys = 10_000
	KeyMemory      = time.Hour

	// MaxSenders is the number of remembered senders above which it is worth looking for those that have ended.
	MaxSenders = 1000
)

// messageKeys are the remembered keys of accepted messages.
type messageKeys struct {
	digests map[string]string // of the messages, by key
	order   []messageKey      // oldest first
}

type messageKey struct {
	Key string
	At  int64
}

// add remembers a key and forgets those that are too old. It depends only on the messages, so a log always yields the
// same state.
func (k *messageKeys) add(key, digest string, at int64) {
	if _, known := k.digests[key]; !known {
		k.order = append(k.order, messageKey{key, at})
	}
	k.digests[key] = digest
	for len(k.order) > MaxMessageKeys && k.order[0].At < at-int64(KeyMemory) {
		delete(k.digests, k.order[0].Key)
		k.order[0] = messageKey{}
		k.order = k.order[1:]
	}
}

// Senders returns the runs that sent messages to this one, with the newest sending call of each.
func (s *State) Senders() map[string]int { return maps.Clone(s.senders) }

// CountSenders returns the number of remembered senders.
func (s *State) CountSenders() int { return len(s.senders) }

// ForgetSender forgets a run whose newest sending call is the given one. That run must not be able to send again: it
// has ended and has no open call. This is not logged, and a log that remembers more does no harm.
func (s *State) ForgetSender(run string, call int) {
	if s.senders[run] == call {
		delete(s.senders, run)
		s.forgotten++
	}
}

// MayHaveForgotten reports whether a run may have sent messages to this one before, although it is not remembered. forgotten
// grows whenever a sender is forgotten while the run is in memory.
func (s *State) MayHaveForgotten(run string) (may bool, forgotten int) {
	_, known := s.senders[run]
	return !known && s.messages > MaxSenders, s.forgotten
}
