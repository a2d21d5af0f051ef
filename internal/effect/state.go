package effect

import (
	"encoding/json"

	"github.com/flawless-engine/flawless"
)

// Operations of a `state` call.
const (
	StateGet    = "get"    // answered with the value
	StateLock   = "lock"   // answered with the value once the run holds it
	StatePut    = "put"    // the body is the new value; the hold ends
	StateUnlock = "unlock" // the hold, or the wish for it, ends
)

// Sharing is what a `state` call asks for.
type Sharing struct {
	Name string `json:"name"`
	Op   string `json:"op"`
	Lock int    `json:"lock"` // with put and unlock: the call that asked for the hold
}

// ParseState understands a `state` call.
func ParseState(c flawless.Call) (Sharing, error) {
	var h Sharing
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
			return h, invalid(State, `member "lock" is %d, give the number of the call that asked for the hold`, h.Lock)
		}
		if h.Op == StatePut && !json.Valid(c.Body) {
			return h, invalid(State, "the body, the new value, is not JSON")
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

// ValueAnswer hands a value over.
func ValueAnswer(value []byte) flawless.Answer {
	return flawless.Answer{Head: []byte("{}"), Body: value}
}
