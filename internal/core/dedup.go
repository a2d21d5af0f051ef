package core

import (
	"maps"
	"time"
)

// A message that comes twice is taken in once. For that a run remembers the keys with which clients sent, and the newest
// call of each run that sent. Neither may grow for as long as the run lives, because both are part of each of its images.

const (
	// MaxMessageKeys is how many keys a run remembers, the newest ones, and KeyMemory for how long it remembers the
	// others: a client that repeats a message in that time is safe, however many others there are.
	MaxMessageKeys = 10_000
	KeyMemory      = time.Hour

	// MaxSenders is of how many runs it remembers that they sent before it is worth looking for those that have ended.
	MaxSenders = 1000
)

// messageKeys are the keys of the messages that came, as long as they are remembered.
type messageKeys struct {
	digests map[string]string // by key: of what came with it
	order   []messageKey      // the oldest first
}

type messageKey struct {
	Key string
	At  int64
}

// add remembers a key, and forgets those that are too old. It depends on nothing but the messages, so that a log always
// makes the same state.
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

// Senders returns the runs that sent messages to this one, with the newest call by which they did.
func (s *State) Senders() map[string]int { return maps.Clone(s.senders) }

// CountSenders returns how many there are.
func (s *State) CountSenders() int { return len(s.senders) }

// ForgetSender forgets that a run sent messages, the last one by a call. It must not be able to send any of them again:
// it has ended, and none of its calls is open. This needs no place in the log. What a log remembers beyond it does no harm.
func (s *State) ForgetSender(run string, call int) {
	if s.senders[run] == call {
		delete(s.senders, run)
	}
}
