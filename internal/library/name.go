package library

import (
	"context"
	"sync"

	"github.com/flawless-engine/flawless"
)

// names caches the newest version of each module, which every start needs. It is emptied when modules are added or
// removed, here or, as the catalog tells, by another server. The zero value is empty; it may be used concurrently.
type names struct {
	mu    sync.Mutex
	known map[string]flawless.Module
	age   int // number of calls of forget
}

// newest returns the newest version of a module, calling versions if it is not cached.
func (n *names) newest(ctx context.Context, name string, versions func(context.Context, string) ([]flawless.Module, error)) (flawless.Module, error) {
	n.mu.Lock()
	m, ok := n.known[name]
	age := n.age
	n.mu.Unlock()
	if ok {
		return m, nil
	}
	all, err := versions(ctx, name)
	if err != nil {
		return flawless.Module{}, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.age == age { // otherwise a module was added in the meantime, perhaps after versions read the store
		if n.known == nil {
			n.known = map[string]flawless.Module{}
		}
		n.known[name] = all[0]
	}
	return all[0], nil
}

// forget clears the cache after modules were added or removed.
func (n *names) forget() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.known = nil
	n.age++
}
