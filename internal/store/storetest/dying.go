package storetest

import (
	"context"
	"errors"
	"iter"
	"sync"
	"sync/atomic"

	"github.com/flawless-engine/flawless/internal/store"
)

// When says whether the failing Apply takes effect.
type When bool

// Values of When.
const (
	Before When = false // it does not take effect
	After  When = true  // it takes effect, but returns an error
)

// ErrDied is returned by all methods of a [Mortal] that has died. It wraps no code, like an error after which the outcome
// is unknown.
var ErrDied = errors.New("the store has died")

// Mortal is a store.KV that dies at its Nth Apply. From then on all methods return [ErrDied], and nothing reaches the
// underlying KV, which contains what a crash at that time leaves.
type Mortal struct {
	kv   store.KV
	when When
	hook func()

	mu    sync.Mutex // held during Apply, so that none takes effect after the last one
	left  int
	dead  atomic.Bool
	Count atomic.Int64 // calls of Apply that reached the underlying KV
}

// Dying returns a KV on kv that dies at its nth Apply (from 1; 0 is never), before or after that takes effect. hook, which
// may be nil, is called once before this Apply returns; it must not use the KV. Close does not close kv.
func Dying(kv store.KV, n int, when When, hook func()) *Mortal {
	return &Mortal{kv: kv, left: n, when: when, hook: hook}
}

// Counting returns a KV on kv that only counts.
func Counting(kv store.KV) *Mortal { return Dying(kv, 0, Before, nil) }

// Died reports whether the KV has died.
func (m *Mortal) Died() bool { return m.dead.Load() }

// Get implements store.KV.
func (m *Mortal) Get(ctx context.Context, key []byte) ([]byte, error) {
	if m.dead.Load() {
		return nil, ErrDied
	}
	value, err := m.kv.Get(ctx, key)
	if m.dead.Load() {
		return nil, ErrDied
	}
	return value, err
}

// Scan implements store.KV.
func (m *Mortal) Scan(ctx context.Context, r store.Range) iter.Seq2[store.Item, error] {
	return func(yield func(store.Item, error) bool) {
		if m.dead.Load() {
			yield(store.Item{}, ErrDied)
			return
		}
		for it, err := range m.kv.Scan(ctx, r) {
			if m.dead.Load() {
				yield(store.Item{}, ErrDied)
				return
			}
			if !yield(it, err) {
				return
			}
		}
	}
}

// Apply implements store.KV.
func (m *Mortal) Apply(ctx context.Context, b *store.Batch) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dead.Load() {
		return ErrDied
	}
	last := m.left == 1
	m.left = max(m.left-1, 0)
	if last && m.when == Before {
		return m.die()
	}
	m.Count.Add(1)
	err := m.kv.Apply(ctx, b)
	if last {
		return m.die()
	}
	return err
}

func (m *Mortal) die() error {
	m.dead.Store(true)
	if m.hook != nil {
		m.hook()
	}
	return ErrDied
}

// Failed implements store.Failer.
func (m *Mortal) Failed() error {
	if f, ok := m.kv.(store.Failer); ok {
		return f.Failed()
	}
	return nil
}

// Full implements store.Spacer.
func (m *Mortal) Full() (bool, string) {
	if s, ok := m.kv.(store.Spacer); ok {
		return s.Full()
	}
	return false, ""
}

// Close implements store.KV. The underlying KV stays open.
func (m *Mortal) Close() error { return nil }
