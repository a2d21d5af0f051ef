package flawless

import (
	"context"
	"time"
)

// Freshness caches a value and fetches it again when it is too old. Its methods may be called concurrently.
type Freshness[T any] struct {
	ttl   time.Duration
	fetch func(ctx context.Context) (T, error)

	turn gate      // guards the value while it is read or fetched
	at   time.Time // zero if there is no value
	now  T
}

// Fresh returns a cache for a value, such as an access token or a price, that must not be older than ttl when it is
// used. [Freshness.Get] calls fetch the first time, and again when the value is too old, for instance because the run
// was interrupted for long. Calls that fetch makes are calls like any other.
//
// The age of a value counts from the moment when fetch was called, not from its return.
func Fresh[T any](ttl time.Duration, fetch func(ctx context.Context) (T, error)) *Freshness[T] {
	return &Freshness[T]{ttl: ttl, fetch: fetch, turn: newGate()}
}

// Get returns the value, after fetching it if it is missing or too old. It returns the error of fetch, or the cause
// of ctx if ctx ends while another goroutine fetches. Only one goroutine fetches at a time.
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

// Forget makes the next Get fetch the value whatever its age, for instance after a 401. It waits while a fetch is in
// progress.
func (f *Freshness[T]) Forget() {
	_ = f.turn.enter(context.Background()) // cannot fail: the context does not end
	defer f.turn.leave()
	f.at = time.Time{}
}

// Now returns the current time of the run, as time.Now does in a guest. It stands still while the run computes: it is
// the moment when the current turn began. A replay sees the same times. After an interruption it has advanced by the
// length of the interruption. It never goes back.
func Now() time.Time { return time.Now() }
