package flawless

import (
	"context"
	"time"
)

// Freshness is a value that is fetched again when it has become too old.
type Freshness[T any] struct {
	ttl   time.Duration
	fetch func(ctx context.Context) (T, error)

	turn gate      // whoever looks at the value, and fetches it
	at   time.Time // zero: there is no value
	now  T
}

// Fresh returns a value that is never older than ttl when it is used, such as an access token or a
// price. fetch is called when it is first needed, and again whenever it is too old: also when the run
// was interrupted for long, since time goes on meanwhile. Its calls are calls like any other.
//
// A value is as old as the time since fetch was called, not since it returned.
func Fresh[T any](ttl time.Duration, fetch func(ctx context.Context) (T, error)) *Freshness[T] {
	return &Freshness[T]{ttl: ttl, fetch: fetch, turn: newGate()}
}

// Get returns the value, fetched again where it is too old, or the error of fetch. It may be called
// concurrently; one fetches for all, and the others wait for that one or until their ctx ends.
func (f *Freshness[T]) Get(ctx context.Context) (T, error) {
	var none T
	if err := f.turn.enter(ctx); err != nil {
		return none, err
	}
	defer f.turn.leave()
	if !f.at.IsZero() && time.Since(f.at) <= f.ttl {
		return f.now, nil
	}
	began := time.Now()
	v, err := f.fetch(ctx)
	if err != nil {
		return none, err
	}
	f.at, f.now = began, v
	return v, nil
}

// Forget has the next Get fetch the value, whatever its age: after a 401, say.
func (f *Freshness[T]) Forget() {
	_ = f.turn.enter(context.Background()) // which does not end
	defer f.turn.leave()
	f.at = time.Time{}
}

// Now returns the time of the run. It stands still while the run computes: it is the moment at which
// what the run waited for last was there. In a replay it is what it was. After an interruption it has
// moved on, by as much as the interruption took; it never goes back.
func Now() time.Time { return time.Now() }
