package effect

import (
	"encoding/json"

	"github.com/flawless-engine/flawless"
)

// Operations of a `state` call.
const (
	StateGet    = "get"    // answered with the value
	StateLock   = "lock"   // answered with the value once the run holds the state
	StatePut    = "put"    // the body is the new value; the hold ends
	StateUnlock = "unlock" // the hold ends, or waiting for it
)

// StateHead is the head of a `state` call.
type StateHead struct {
	Name string `json:"name"`
	Op   string `json:"op"`
	Lock int    `json:"lock"` // with put and unlock: the number of the lock call
}

// ParseState parses a `state` call.
func ParseState(c flawless.Call) (StateHead, error) {
	var h StateHead
	if err := decode(c, &h); err != nil {
		return h, err
	}
	if err := flawless.CheckStateName(h.Name); err != nil {
		return h, invalid(State, `member "name": %v`, err)
	}
	switch h.Op {
	case StateGet, StateLock:
	case StatePut, StateUnlock:
		if h.Lock <= 0 || h.Lock >= c.N {
			return h, invalid(State, `member "lock" is %d, give the number of the call that locked the state`, h.Lock)
		}
		if h.Op == StatePut && !json.Valid(c.Body) {
			return h, invalid(State, "the body, which is the new value, is not JSON")
		}
	default:
		return h, invalid(State, `member "op" is %q, give one of get, lock, put, unlock`, h.Op)
	}
	return h, nil
}

func checkState(c flawless.Call) (Policy, error) {
	h, err := ParseState(c)
	return Policy{Title: h.Op + " state " + h.Name}, err
}

// ValueAnswer returns an answer with a value.
func ValueAnswer(value []byte) flawless.Answer {
	return flawless.Answer{Head: []byte("{}"), Body: value}
}
