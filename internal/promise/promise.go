// Package promise says what promises were settled with, now or before.
package promise

import (
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"iter"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/value"
)

// Settlement is the value or the error that a promise was settled with.
type Settlement struct {
	Value json.RawMessage `json:"value,omitempty"`
	Error string          `json:"error,omitempty"`
}

// Answer returns the answer to the call that made the promise.
func (s Settlement) Answer(call int) flawless.Answer {
	if s.Error != "" {
		return effect.ErrorAnswer(call, "rejected", s.Error)
	}
	return flawless.Answer{Call: call, Head: []byte("{}"), Body: flawless.Bytes(s.Value)}
}

// Same reports whether two settlements are equal.
func (s Settlement) Same(as Settlement) bool {
	return s.Error == as.Error && (s.Error != "" || value.SameJSON(s.Value, as.Value))
}

// Settled is the error for a promise that was settled before. It wraps flawless.Conflict.
type Settled struct {
	Promise flawless.Promise
	With    Settlement
}

func (s *Settled) Error() string {
	if s.With.Error != "" {
		return fmt.Sprintf("the promise was settled before, with the error %q", s.With.Error)
	}
	return fmt.Sprintf("the promise was settled before, with %s", s.With.Value)
}

// Unwrap returns flawless.Conflict.
func (s *Settled) Unwrap() error { return flawless.Conflict }

// ErrNone says that there is no promise with a token. It wraps flawless.NotFound.
var ErrNone = fmt.Errorf("there is no promise with this token; make sure that you copied all of it: %w", flawless.NotFound)

// Before returns why a promise is not open, from the log of its run: a Settled, flawless.Conflict if the run has ended, or
// ErrNone.
func Before(log iter.Seq2[flawless.Record, error], token, secret, run string, n int) error {
	known, p := false, flawless.Promise{Token: token, Run: run, Call: n}
	for rec, err := range log {
		if err != nil {
			return err
		}
		for _, entry := range rec.Entries {
			switch {
			case entry.Turn != nil:
				for _, c := range entry.Turn.Calls {
					if c.N == n && c.Kind == effect.Promise {
						h, err := effect.ParsePromise(c)
						known = err == nil && subtle.ConstantTimeCompare([]byte(h.Secret), []byte(secret)) == 1
						p.Name, p.Made = h.Name, time.Unix(0, entry.At)
					}
				}
			case known && entry.Arrival != nil && entry.Arrival.Call == n:
				return &Settled{p, settlement(entry.Arrival.Answer)}
			}
		}
	}
	if known {
		return fmt.Errorf("the run %s that made the promise has ended; nothing was stored: %w", run, flawless.Conflict)
	}
	return ErrNone
}

func settlement(a flawless.Answer) Settlement {
	var h struct {
		Error *struct{ Message string }
	}
	if json.Unmarshal(a.Head, &h) == nil && h.Error != nil {
		return Settlement{Error: h.Error.Message}
	}
	return Settlement{Value: json.RawMessage(a.Body)}
}
