package policy

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/flawless-engine/flawless"
)

// list returns what is said of hosts, which must not be changed.
func (p *Policy) list() map[string]flawless.Host { return *p.hosts.Load() }

// Hosts returns what is said of hosts, by host.
func (p *Policy) Hosts() []flawless.Host {
	out := []flawless.Host{}
	for _, h := range p.list() {
		out = append(out, h)
	}
	slices.SortFunc(out, func(a, b flawless.Host) int { return strings.Compare(a.Host, b.Host) })
	return out
}

// Host returns what is said of a host under that very name, or flawless.NotFound.
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

// ChangeHost changes what is said of a host. change is given what holds now. It holds for the next try of every call, and
// no log depends on it.
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

// RemoveHost forgets what is said of a host, or returns flawless.NotFound.
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
