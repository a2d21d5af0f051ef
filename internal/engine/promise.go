package engine

import (
	"bytes"
	"cmp"
	"context"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/core"
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/value"
)

// Settlement is the value or the error that a promise was settled with.
type Settlement struct {
	Value json.RawMessage `json:"value,omitempty"`
	Error string          `json:"error,omitempty"`
}

func (s Settlement) answer(call int) flawless.Answer {
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

// Settle settles a promise and returns when that is durable. A promise can be settled once: later attempts get a Settled.
// If the run has ended, Settle returns flawless.Conflict.
func (e *Engine) Settle(ctx context.Context, token string, with Settlement, by string) (flawless.Promise, error) {
	secret, run, n, err := flawless.ParsePromiseToken(token)
	if err != nil {
		return flawless.Promise{}, err
	}
	with.Value = bytes.Clone(with.Value)
	if with.Error == "" {
		if len(with.Value) == 0 {
			with.Value = json.RawMessage("null")
		}
		if err := value.Check(nil, with.Value, "settling a promise: the value cannot be taken"); err != nil {
			return flawless.Promise{}, err
		}
	}
	var p flawless.Promise
	open := false
	_, err = e.change(ctx, run, func(s *core.State, now int64) ([]flawless.Entry, error) {
		c := s.Call(n)
		if c == nil || c.Kind != effect.Promise {
			return nil, nil
		}
		if p, open = core.OpenPromise(s, c); !open || subtle.ConstantTimeCompare([]byte(p.Token), []byte(token)) == 0 {
			open = false
			return nil, errNoPromise
		}
		if h, err := effect.ParsePromise(c.Call); err == nil && with.Error == "" {
			if err := c.Fits(h.Schema, with.Value, "settling a promise: the value does not fit "+cmp.Or(h.Name, "it")); err != nil {
				return nil, err
			}
		}
		note := ""
		if by != "" {
			note = "settled by " + by
		}
		return []flawless.Entry{s.AnswerEntry(with.answer(n), note, now)}, nil
	})
	if err != nil || open {
		return p, err
	}
	return p, e.settledBefore(ctx, token, secret, run, n)
}

var errNoPromise = fmt.Errorf("there is no promise with this token; make sure that you copied all of it: %w", flawless.NotFound)

// settledBefore returns why a promise is not open.
func (e *Engine) settledBefore(ctx context.Context, token, secret, run string, n int) error {
	known, p := false, flawless.Promise{Token: token, Run: run, Call: n}
	for rec, err := range e.store.Log(ctx, run, 0) {
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
	return errNoPromise
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

// Promises returns the open promises of a run, oldest first.
func (e *Engine) Promises(ctx context.Context, id string) ([]flawless.Promise, error) {
	out := []flawless.Promise{}
	err := e.peek(ctx, id, func(s *core.State) {
		for _, c := range s.OpenCalls() {
			if c.Bad() == nil && c.Kind == effect.Promise {
				if p, ok := core.OpenPromise(s, c); ok {
					out = append(out, p)
				}
			}
		}
	})
	return out, err
}
