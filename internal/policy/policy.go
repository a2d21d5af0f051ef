package policy

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/core"
	"github.com/flawless-engine/flawless/internal/effect"
)

// Store reads the stored settings.
type Store interface {
	Settings(ctx context.Context) ([]flawless.Settings, error)
	Hosts(ctx context.Context) ([]flawless.Host, error)
}

// Options configures a Policy.
type Options struct {
	Store Store
	// PutSettings and PutHost store settings in place of before, which is nil if there were none. They return
	// flawless.Conflict if the store has others. PutHost with a nil after removes them.
	PutSettings  func(ctx context.Context, before *flawless.Settings, after flawless.Settings) error
	PutHost      func(ctx context.Context, host string, before, after *flawless.Host) error
	RetryFor     time.Duration                                    // default time for which failed calls are retried
	DeclaredKeys func(module, digest string) []flawless.KeyWindow // key windows that a module version declares
}

// Policy holds the settings of operators in memory. All methods may be called concurrently.
type Policy struct {
	o Options

	mu      sync.Mutex // guards modules; held during a change and its write
	modules map[string]flawless.Settings

	changing sync.Mutex                               // held during a change of hosts
	hosts    atomic.Pointer[map[string]flawless.Host] // the map is replaced, never modified
}

// New reads the settings from a store.
func New(ctx context.Context, o Options) (*Policy, error) {
	p := &Policy{o: o}
	if err := p.readModules(ctx); err != nil {
		return nil, err
	}
	if err := p.readHosts(ctx); err != nil {
		return nil, err
	}
	return p, nil
}

// readModules replaces the settings of modules by those in the store. The caller holds mu.
func (p *Policy) readModules(ctx context.Context) error {
	stored, err := p.o.Store.Settings(ctx)
	if err != nil {
		return fmt.Errorf("reading the settings of modules: %w", err)
	}
	modules := map[string]flawless.Settings{}
	for _, s := range stored {
		modules[s.Module] = s
	}
	p.modules = modules
	return nil
}

// RefreshModules reads the settings of modules again, because another server may have changed them. It returns the modules
// that got a concurrency cap.
func (p *Policy) RefreshModules(ctx context.Context) (capped []string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	before := p.modules
	if err := p.readModules(ctx); err != nil {
		return nil, err
	}
	for name, s := range p.modules {
		if s.Concurrency > 0 && before[name].Concurrency == 0 {
			capped = append(capped, name)
		}
	}
	return capped, nil
}

// Module returns the settings of a module.
func (p *Policy) Module(name string) flawless.Settings {
	p.mu.Lock()
	defer p.mu.Unlock()
	if one, ok := p.modules[name]; ok {
		return one
	}
	return flawless.Settings{Module: name}
}

// ChangeModule changes the settings of a module. change receives the current ones. capped reports whether the module
// got a concurrency cap that it did not have before. After a crash the change is stored completely or not at all.
func (p *Policy) ChangeModule(ctx context.Context, name string, change func(*flawless.Settings)) (s flawless.Settings, capped bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	err = agree(ctx, p.readModules, func() error {
		s = flawless.Settings{Module: name}
		var stored *flawless.Settings
		if old, ok := p.modules[name]; ok {
			s, stored = old, &old
		}
		before := s.Concurrency
		change(&s)
		if err := s.Check(); err != nil {
			return err
		}
		if err := p.o.PutSettings(ctx, stored, s); err != nil {
			return err
		}
		p.modules[name] = s
		capped = before == 0 && s.Concurrency > 0
		return nil
	})
	return s, capped, err
}

// agree stores a change of settings. If another server has changed them meanwhile, it reads them and tries again.
func agree(ctx context.Context, read func(context.Context) error, try func() error) error {
	for {
		if err := try(); !errors.Is(err, flawless.Conflict) {
			return err
		}
		if err := read(ctx); err != nil {
			return err
		}
	}
}

// Capped returns the modules that have a concurrency cap.
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

// Terms returns the retry and key settings for a call. Settings of the host take precedence over those of the module,
// which take precedence over what the module declares.
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
	if key == 0 { // the operator has not set anything, not even "not honoured"
		for _, k := range p.o.DeclaredKeys(module, digest) {
			if fits := k.Fits(call.Host, call.Port); fits > key {
				key, t.Within, t.KeyBy = fits, k.Within(), "the module"
			}
		}
	}
	return t
}
