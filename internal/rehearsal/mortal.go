package rehearsal

import (
	"context"
	"iter"
	"sync"

	"github.com/flawless-engine/flawless/internal/store"
)

// mortal is a database that fails from one of its writes on. What it holds then is what a crash leaves behind.
type mortal struct {
	store.KV
	at    int  // fails at this write, counted from 1; 0 is never
	after bool // the write takes effect first

	mu     sync.Mutex
	writes int
	dead   bool
	ctx    context.Context
	kill   context.CancelFunc
}

// died returns a context that ends when the database fails.
func (m *mortal) died() context.Context {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ctx == nil {
		m.ctx, m.kill = context.WithCancel(context.Background())
		if m.dead {
			m.kill()
		}
	}
	return m.ctx
}

func (m *mortal) isDead() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.dead
}

// Apply implements store.KV.
func (m *mortal) Apply(ctx context.Context, b *store.Batch) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dead {
		return errDied
	}
	m.writes++
	if m.writes != m.at {
		return m.KV.Apply(ctx, b)
	}
	if m.after {
		if err := m.KV.Apply(ctx, b); err != nil {
			return err
		}
	}
	m.dead = true
	if m.kill != nil {
		m.kill()
	}
	return errDied
}

// Get implements store.KV.
func (m *mortal) Get(ctx context.Context, key []byte) ([]byte, error) {
	if m.isDead() {
		return nil, errDied
	}
	return m.KV.Get(ctx, key)
}

// Scan implements store.KV.
func (m *mortal) Scan(ctx context.Context, r store.Range) iter.Seq2[store.Item, error] {
	if m.isDead() {
		return func(yield func(store.Item, error) bool) { yield(store.Item{}, errDied) }
	}
	return m.KV.Scan(ctx, r)
}

// Close implements store.KV. It leaves the underlying database open for the next engine.
func (m *mortal) Close() error { return nil }
