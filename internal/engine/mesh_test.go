package engine

import (
	"context"
	"fmt"
	"sync"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
)

// mesh connects the engines of a test: each is asked directly. Give the same one to all of them as Options.Peers.
type mesh struct {
	store *store.Store // that says who owns what

	mu      sync.Mutex
	engines map[string]*Engine // by owner
}

func newMesh(st *store.Store) *mesh { return &mesh{store: st, engines: map[string]*Engine{}} }

// add makes an engine reachable under the name of its lease.
func (m *mesh) add(e *Engine) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.engines[e.lease.Owner()] = e
}

// remove makes an engine unreachable.
func (m *mesh) remove(e *Engine) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.engines, e.lease.Owner())
}

// Ask asks the engine that owns a shard according to the store.
func (m *mesh) Ask(ctx context.Context, sh store.Shard, op string, request []byte) ([]byte, error) {
	owners, err := m.store.Owners(ctx)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	e := m.engines[owners[sh]]
	m.mu.Unlock()
	if e == nil {
		return nil, fmt.Errorf("nobody is at %q: %w", owners[sh], flawless.Elsewhere)
	}
	return e.Serve(ctx, op, request)
}
