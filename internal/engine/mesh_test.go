package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
)

// mesh connects the engines of a test: each is asked directly. Give the same one to all of them as Options.Peers.
type mesh struct {
	store *store.Store // that says who owns what

	mu      sync.Mutex
	engines map[string]*Engine // by owner
	fate    func() fate        // of the next request; nil lets all pass

	late sync.WaitGroup // repetitions under way
}

// fate is what becomes of a request between engines.
type fate int

const (
	passes     fate = iota
	isLost          // it does not arrive
	unanswered      // it is carried out, and the answer is lost
	arrivesToo      // it is carried out, and once more a while later
)

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
	becomes := passes
	if m.fate != nil {
		becomes = m.fate()
	}
	m.mu.Unlock()
	if e == nil {
		return nil, fmt.Errorf("nobody is at %q: %w", owners[sh], flawless.Elsewhere)
	}
	if becomes == isLost {
		return nil, errBroken
	}
	answer, err := e.Serve(ctx, op, request)
	if becomes == unanswered {
		return nil, errBroken
	}
	if becomes == arrivesToo {
		m.late.Go(func() {
			time.Sleep(time.Duration(100+len(request)%7*300) * time.Millisecond) // in virtual time
			_, _ = e.Serve(context.Background(), op, request)
		})
	}
	return answer, err
}

var errBroken = errors.New("the connection was broken")
