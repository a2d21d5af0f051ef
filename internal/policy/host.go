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

// readHosts replaces the settings of hosts by those in the store. The caller has locked changing.
func (p *Policy) readHosts(ctx context.Context) error {
	stored, err := p.o.Store.Hosts(ctx)
	if err != nil {
		return err
	}
	hosts := map[string]flawless.Host{}
	for _, h := range stored {
		hosts[h.Host] = h
	}
	p.hosts.Store(&hosts)
	return nil
}

// RefreshHosts reads the settings of hosts again, because another server may have changed them.
func (p *Policy) RefreshHosts(ctx context.Context) error {
	p.changing.Lock()
	defer p.changing.Unlock()
	return p.readHosts(ctx)
}

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
func (p *Policy) ChangeHost(ctx context.Context, host string, change func(*flawless.Host)) (set flawless.Host, err error) {
	host = flawless.CanonicalHost(host)
	p.changing.Lock()
	defer p.changing.Unlock()
	err = agree(ctx, p.readHosts, func() error {
		stored := p.stored(host)
		set = flawless.Host{}
		if stored != nil {
			set = *stored
		}
		set.Host = host
		change(&set)
		if err := set.Check(); err != nil {
			return err
		}
		return p.putHost(ctx, host, stored, &set)
	})
	return set, err
}

// RemoveHost removes the settings of a host, or returns flawless.NotFound.
func (p *Policy) RemoveHost(ctx context.Context, host string) error {
	host = flawless.CanonicalHost(host)
	p.changing.Lock()
	defer p.changing.Unlock()
	return agree(ctx, p.readHosts, func() error {
		stored := p.stored(host)
		if stored == nil {
			return noHost(host)
		}
		return p.putHost(ctx, host, stored, nil)
	})
}

// stored returns the settings of a host, or nil if it has none.
func (p *Policy) stored(host string) *flawless.Host {
	if h, ok := p.list()[host]; ok {
		return &h
	}
	return nil
}

// putHost stores new settings of a host, or removes them if they are nil, and then uses them.
func (p *Policy) putHost(ctx context.Context, host string, stored, set *flawless.Host) error {
	if err := p.o.PutHost(ctx, host, stored, set); err != nil {
		return err
	}
	all := maps.Clone(p.list())
	if set == nil {
		delete(all, host)
	} else {
		all[host] = *set
	}
	p.hosts.Store(&all)
	return nil
}
