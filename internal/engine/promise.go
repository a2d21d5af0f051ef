package engine

import (
	"bytes"
	"cmp"
	"context"
	"crypto/subtle"
	"encoding/json"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/core"
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/promise"
	"github.com/flawless-engine/flawless/internal/value"
)

// Settlement is the value or the error that a promise was settled with.
type Settlement = promise.Settlement

// Settled is the error for a promise that was settled before. It wraps flawless.Conflict.
type Settled = promise.Settled

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
			return nil, promise.ErrNone
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
		return []flawless.Entry{s.AnswerEntry(with.Answer(n), note, now)}, nil
	})
	if err != nil || open {
		return p, err
	}
	return p, promise.Before(e.store.Log(ctx, run, 0), token, secret, run, n)
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
