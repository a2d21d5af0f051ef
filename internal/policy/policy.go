package policy

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/core"
	"github.com/flawless-engine/flawless/internal/effect"
)

// Store keeps what is said.
type Store interface {
	Settings(ctx context.Context) ([]flawless.Settings, error)
	Hosts(ctx context.Context) ([]flawless.Host, error)
}

// Options says what a Policy works with.
type Options struct {
	Store        Store
	PutSettings  func(ctx context.Context, s flawless.Settings) error
	PutHost      func(ctx context.Context, host string, h *flawless.Host) error // nil removes it
	RetryFor     time.Duration                                                  // for how long failed calls are retried where nobody says more
	DeclaredKeys func(module, digest string) []flawless.KeyWindow               // what a version of a module says of hosts
}

// Policy has what operators say, in memory. All methods may be called concurrently.
type Policy struct {
	o Options

	mu      sync.Mutex // guards modules, and is held over a change and its write
	modules map[string]flawless.Settings

	changing sync.Mutex                               // held while hosts change
	hosts    atomic.Pointer[map[string]flawless.Host] // replaced as a whole
}

// New returns the Policy of a store.
func New(ctx context.Context, o Options) (*Policy, error) {
	p := &Policy{o: o, modules: map[string]flawless.Settings{}}
	settings, err := o.Store.Settings(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the settings of modules: %w", err)
	}
	for _, s := range settings {
		p.modules[s.Module] = s
	}
	all, err := o.Store.Hosts(ctx)
	if err != nil {
		return nil, err
	}
	hosts := map[string]flawless.Host{}
	for _, h := range all {
		hosts[h.Host] = h
	}
	p.hosts.Store(&hosts)
	return p, nil
}

// Module returns how the runs of a module are treated.
func (p *Policy) Module(name string) flawless.Settings {
	p.mu.Lock()
	defer p.mu.Unlock()
	if one, ok := p.modules[name]; ok {
		return one
	}
	return flawless.Settings{Module: name}
}

// ChangeModule changes how the runs of a module are treated. change is given what holds now. capped tells whether the
// module has a cap now and had none before. A crash in the middle leaves it changed or not.
func (p *Policy) ChangeModule(ctx context.Context, name string, change func(*flawless.Settings)) (s flawless.Settings, capped bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, ok := p.modules[name]
	if !ok {
		s.Module = name
	}
	before := s.Concurrency
	change(&s)
	if err := s.Check(); err != nil {
		return s, false, err
	}
	if err := p.o.PutSettings(ctx, s); err != nil {
		return s, false, err
	}
	p.modules[name] = s
	return s, before == 0 && s.Concurrency > 0, nil
}

// Capped returns the modules of which only so many runs may be open at once.
func (p *Policy) Capped() (modules []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.modules {
		if s.Concurrency > 0 {
			modules = append(modules, s.Module)
		}
	}
	return modules
}

// Terms returns what the operator says of a call of a run of a module, and what the module says itself. What the operator
// says of the host counts most, then what is said of the module.
func (p *Policy) Terms(module, digest string, call effect.Policy) core.Terms {
	t := core.Terms{Retry: p.o.RetryFor, RetryBy: "server"}
	if set := p.Module(module); set.RetryForMS != nil {
		t.Retry, t.RetryBy = time.Duration(*set.RetryForMS)*time.Millisecond, "module "+module
	}
	if call.Host == "" {
		return t
	}
	key, retry := 0, 0
	for _, h := range p.list() {
		fits := h.Fits(call.Host, call.Port)
		if h.KeyMS != 0 && fits > key {
			key, t.Within, t.KeyBy = fits, h.Key(), "host "+h.Host
		}
		if h.RetryForMS != nil && fits > retry {
			retry, t.Retry, t.RetryBy = fits, time.Duration(*h.RetryForMS)*time.Millisecond, "host "+h.Host
		}
	}
	if key == 0 { // the operator says nothing, not even that it does not
		for _, k := range p.o.DeclaredKeys(module, digest) {
			if fits := k.Fits(call.Host, call.Port); fits > key {
				key, t.Within, t.KeyBy = fits, k.Within(), "the module"
			}
		}
	}
	return t
}
