package policy

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/flawless-engine/flawless"
)

// list returns the settings of all hosts. The map must not be modified.
func (p *Policy) list() map[string]flawless.Host { return *p.hosts.Load() }

// Hosts returns the settings of all hosts, sorted by host.
func (p *Policy) Hosts() []flawless.Host {
	out := []flawless.Host{}
	for _, h := range p.list() {
		out = append(out, h)
	}
	slices.SortFunc(out, func(a, b flawless.Host) int { return strings.Compare(a.Host, b.Host) })
	return out
}

// Host returns the settings stored under exactly this host, or flawless.NotFound.
func (p *Policy) Host(host string) (flawless.Host, error) {
	host = flawless.CanonicalHost(host)
	h, ok := p.list()[host]
	if !ok {
		return h, noHost(host)
	}
	return h, nil
}

func noHost(host string) error {
	return fmt.Errorf("host %.200q has no settings: %w", host, flawless.NotFound)
}

// ChangeHost changes the settings of a host. change receives the current ones. The new ones apply to the next attempt
// of every call; no log depends on them.
func (p *Policy) ChangeHost(ctx context.Context, host string, change func(*flawless.Host)) (flawless.Host, error) {
	host = flawless.CanonicalHost(host)
	p.changing.Lock()
	defer p.changing.Unlock()
	all := maps.Clone(p.list())
	set := all[host]
	set.Host = host
	change(&set)
	if err := set.Check(); err != nil {
		return set, err
	}
	if err := p.o.PutHost(ctx, set.Host, &set); err != nil {
		return set, err
	}
	all[set.Host] = set
	p.hosts.Store(&all)
	return set, nil
}

// RemoveHost removes the settings of a host, or returns flawless.NotFound.
func (p *Policy) RemoveHost(ctx context.Context, host string) error {
	host = flawless.CanonicalHost(host)
	p.changing.Lock()
	defer p.changing.Unlock()
	all := maps.Clone(p.list())
	if _, ok := all[host]; !ok {
		return noHost(host)
	}
	if err := p.o.PutHost(ctx, host, nil); err != nil {
		return err
	}
	delete(all, host)
	p.hosts.Store(&all)
	return nil
}
