package engine

import (
	"context"
	"fmt"
	"sync"

	"github.com/flawless-engine/flawless"
)

// settings has those of all modules in memory. It may be used concurrently.
type settings struct {
	mu  sync.Mutex
	all map[string]flawless.Settings
}

func (s *settings) of(module string) flawless.Settings {
	s.mu.Lock()
	defer s.mu.Unlock()
	if one, ok := s.all[module]; ok {
		return one
	}
	return flawless.Settings{Module: module}
}

func (e *Engine) loadSettings(ctx context.Context) error {
	all, err := e.store.Settings(ctx)
	e.settings.all = map[string]flawless.Settings{}
	for _, s := range all {
		e.settings.all[s.Module] = s
	}
	return err
}

// Settings returns how the runs of a module are treated, or flawless.NotFound where there is no such
// module.
func (e *Engine) Settings(ctx context.Context, module string) (flawless.Settings, error) {
	if _, err := e.store.Module(ctx, module); err != nil {
		return flawless.Settings{}, err
	}
	return e.settings.of(module), nil
}

// ChangeSettings changes how the runs of a module are treated. change is given what holds now. It
// takes effect at once, also for the runs that are there.
func (e *Engine) ChangeSettings(ctx context.Context, module string, change func(*flawless.Settings)) (flawless.Settings, error) {
	if _, err := e.store.Module(ctx, module); err != nil {
		return flawless.Settings{}, err
	}
	s, capped, err := e.settings.change(module, change, func(s flawless.Settings) error { return e.store.PutSettings(ctx, e.lease, s) })
	if err != nil {
		return s, fmt.Errorf("changing the settings of module %s: %w", module, err)
	}
	if capped {
		err = e.admission.Track(ctx, module)
	}
	e.admission.Shift()
	return s, err
}

// change changes the settings of a module and has them kept. capped tells whether it has a cap now and had
// none before.
func (c *settings) change(module string, change func(*flawless.Settings), keep func(flawless.Settings) error) (s flawless.Settings, capped bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, ok := c.all[module]
	if !ok {
		s.Module = module
	}
	before := s.Concurrency
	change(&s)
	if err := s.Check(); err != nil {
		return s, false, err
	}
	if err := keep(s); err != nil {
		return s, false, err
	}
	c.all[module] = s
	return s, before == 0 && s.Concurrency > 0, nil
}

// capped returns the modules of which only so many runs may be open at once.
func (c *settings) capped() (modules []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.all {
		if s.Concurrency > 0 {
			modules = append(modules, s.Module)
		}
	}
	return modules
}
