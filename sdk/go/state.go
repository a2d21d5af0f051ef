package flawless

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/flawless-engine/flawless/sdk/go/internal/abi"
	"github.com/flawless-engine/flawless/sdk/go/internal/site"
	"github.com/flawless-engine/flawless/sdk/go/internal/turn"
	"github.com/flawless-engine/flawless/sdk/go/internal/wire"
)

// Shared is a value of type T that runs share under a name. Get one from [State]. Its methods may be called
// concurrently.
type Shared[T any] struct {
	name string
	turn gate // for the goroutines of this run
}

// turns has the gate of each state that this run has used.
var turns struct {
	sync.Mutex
	of map[string]gate
}

// State returns a handle on the value that runs share under a name. The value is the zero value of T until a run
// changes it.
func State[T any](name string) *Shared[T] {
	turns.Lock()
	defer turns.Unlock()
	if turns.of == nil {
		turns.of = map[string]gate{}
	}
	if turns.of[name] == nil {
		turns.of[name] = newGate()
	}
	return &Shared[T]{name, turns.of[name]}
}

// Get returns the current value. It does not wait for a run that holds the value.
func (s *Shared[T]) Get(ctx context.Context) (v T, err error) {
	var h wire.Head
	n, body, err := exchange(ctx, "state", s.head("get", 0, site.Caller(1)), nil, &h)
	if err == nil && h.Failure != nil {
		err = callError(h.Failure, "state", s.name, n)
	}
	if err == nil && len(body) > 0 {
		err = s.decode(body, &v)
	}
	return v, err
}

// Update passes the value to f, which may change it. No other run can change it until f returns: f may make calls and
// take days. Runs get their turn in the order in which they asked. If f returns nil, the changed value is stored,
// otherwise the value stays as it was and Update returns the error. The hold ends when f returns or panics, or when
// the run ends; it survives crashes of the server.
//
// The error is a [*CallError] of kind [KindDeadlock] if this run would wait forever, because the run that holds the
// value waits for this one, directly, through other runs, or as its parent: release what this run holds and try
// again. It is the cause of ctx if ctx ends while Update waits for the value. f must not call Update of the same
// state.
func (s *Shared[T]) Update(ctx context.Context, f func(v *T) error) (err error) {
	at := site.Caller(1)
	if err := s.turn.enter(ctx); err != nil {
		return err
	}
	defer s.turn.leave()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	lock, err := makeCall("state", s.head("lock", 0, at), nil)
	if err != nil {
		return err
	}
	if !turn.Wait(ctx, lock) {
		s.unlock(lock, at)
		return context.Cause(ctx)
	}
	var h wire.Head
	body, err := abi.Take(lock, &h)
	if err == nil && h.Failure != nil {
		return callError(h.Failure, "state", s.name, lock)
	}
	kept := false
	defer func() {
		if !kept {
			s.unlock(lock, at)
		}
	}()
	var v T
	if err == nil && len(body) > 0 {
		err = s.decode(body, &v)
	}
	if err != nil {
		return err
	}
	if err := f(&v); err != nil {
		return err
	}
	if body, err = encode(v); err != nil {
		return fmt.Errorf("state %s: its value cannot be written as JSON: %w", s.name, err)
	}
	if err := checkBody("state", s.name, body); err != nil {
		return err
	}
	kept = true
	n, _, err := exchange(context.WithoutCancel(ctx), "state", s.head("put", lock, at), body, &h)
	if err == nil && h.Failure != nil {
		err = callError(h.Failure, "state", s.name, n)
	}
	return err
}

// unlock ends a hold, or the request for one, and does not wait.
func (s *Shared[T]) unlock(lock int, at string) {
	if n, err := makeCall("state", s.head("unlock", lock, at), nil); err == nil {
		abi.Forget(n)
		abi.Forget(lock)
	}
}

func (s *Shared[T]) head(op string, lock int, at string) []byte {
	o := wire.NewObject(nil)
	o.Str("name", s.name)
	o.Str("op", op)
	if lock != 0 {
		o.Int("lock", int64(lock))
	}
	o.Site(at)
	return o.End()
}

func (s *Shared[T]) decode(body []byte, v *T) error {
	if err := json.Unmarshal(body, v); err != nil {
		return fmt.Errorf("state %s: its value does not fit %T: %w", s.name, *v, err)
	}
	return nil
}
