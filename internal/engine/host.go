package engine

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/core"
)

// hosts has what the operator says of servers that runs call. It may be used concurrently. What it says when
// a call has failed counts: a change holds for the next try of every call, and no log depends on it.
type hosts struct {
	mu  sync.Mutex                               // held while it changes
	all atomic.Pointer[map[string]flawless.Host] // replaced as a whole
}

// list returns what is said of hosts, which must not be changed.
func (h *hosts) list() map[string]flawless.Host { return *h.all.Load() }

func (e *Engine) loadHosts(ctx context.Context) error {
	all, err := e.store.Hosts(ctx)
	hosts := map[string]flawless.Host{}
	for _, h := range all {
		hosts[h.Host] = h
	}
	e.hosts.all.Store(&hosts)
	return err
}

// Hosts returns what is said of hosts, by host.
func (e *Engine) Hosts(context.Context) ([]flawless.Host, error) {
	out := []flawless.Host{}
	for _, h := range e.hosts.list() {
		out = append(out, h)
	}
	slices.SortFunc(out, func(a, b flawless.Host) int { return strings.Compare(a.Host, b.Host) })
	return out, nil
}

// Host returns what is said of a host under that very name, or flawless.NotFound.
func (e *Engine) Host(_ context.Context, host string) (flawless.Host, error) {
	host = flawless.CanonicalHost(host)
	h, ok := e.hosts.list()[host]
	if !ok {
		return h, noHost(host)
	}
	return h, nil
}

func noHost(host string) error {
	return fmt.Errorf("nothing is set for host %.200q: %w", host, flawless.NotFound)
}

// ChangeHost changes what is said of a host. change is given what holds now. It holds for the next try of
// every call.
func (e *Engine) ChangeHost(ctx context.Context, host string, change func(*flawless.Host)) (flawless.Host, error) {
	host = flawless.CanonicalHost(host)
	e.hosts.mu.Lock()
	defer e.hosts.mu.Unlock()
	all := maps.Clone(e.hosts.list())
	set := all[host]
	set.Host = host
	change(&set)
	if err := set.Check(); err != nil {
		return set, err
	}
	if err := e.store.PutHost(ctx, e.lease, set.Host, &set); err != nil {
		return set, err
	}
	all[set.Host] = set
	e.hosts.all.Store(&all)
	return set, nil
}

// RemoveHost forgets what is said of a host, or returns flawless.NotFound.
func (e *Engine) RemoveHost(ctx context.Context, host string) error {
	host = flawless.CanonicalHost(host)
	e.hosts.mu.Lock()
	defer e.hosts.mu.Unlock()
	all := maps.Clone(e.hosts.list())
	if _, ok := all[host]; !ok {
		return noHost(host)
	}
	if err := e.store.PutHost(ctx, e.lease, host, nil); err != nil {
		return err
	}
	delete(all, host)
	e.hosts.all.Store(&all)
	return nil
}

// terms returns what the operator says of a call of a run of a module, and what the module says itself. What the
// operator says of the host counts most, then what is said of the module.
func (e *Engine) terms(module, digest string, c *core.OpenCall) core.Terms {
	t := core.Terms{Retry: e.retryFor, RetryBy: "server"}
	if set := e.settings.of(module); set.RetryForMS != nil {
		t.Retry, t.RetryBy = time.Duration(*set.RetryForMS)*time.Millisecond, "module "+module
	}
	if c.Policy().Host == "" {
		return t
	}
	key, retry := 0, 0
	for _, h := range e.hosts.list() {
		fits := h.Fits(c.Policy().Host, c.Policy().Port)
		if h.KeyMS != 0 && fits > key {
			key, t.Within, t.KeyBy = fits, h.Key(), "host "+h.Host
		}
		if h.RetryForMS != nil && fits > retry {
			retry, t.Retry, t.RetryBy = fits, time.Duration(*h.RetryForMS)*time.Millisecond, "host "+h.Host
		}
	}
	if key == 0 { // the operator says nothing, not even that it does not
		for _, k := range e.library.Keys(module, digest) {
			if fits := k.Fits(c.Policy().Host, c.Policy().Port); fits > key {
				key, t.Within, t.KeyBy = fits, k.Within(), "the module"
			}
		}
	}
	return t
}
