package engine

import (
	"context"
	"fmt"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/admit"
	"github.com/flawless-engine/flawless/internal/policy"
)

// newPolicy reads the settings of operators.
func (e *Engine) newPolicy(ctx context.Context, o Options) (*policy.Policy, error) {
	retryFor := flawless.DefaultRetryFor
	if o.RetryFor != nil {
		retryFor = *o.RetryFor
	}
	return policy.New(ctx, policy.Options{Store: e.store, RetryFor: retryFor, DeclaredKeys: e.library.Keys,
		PutSettings: func(ctx context.Context, before *flawless.Settings, after flawless.Settings) error {
			return e.store.PutSettings(ctx, e.lease, before, after)
		},
		PutHost: func(ctx context.Context, host string, before, after *flawless.Host) error {
			return e.store.PutHost(ctx, e.lease, host, before, after)
		}})
}

// Settings returns the settings of a module, or flawless.NotFound if there is no such module.
func (e *Engine) Settings(ctx context.Context, module string) (flawless.Settings, error) {
	if _, err := e.store.Module(ctx, module); err != nil {
		return flawless.Settings{}, err
	}
	return e.policy.Module(module), nil
}

// ChangeSettings changes the settings of a module. Change is given the current ones. They take effect at once, also for
// existing runs.
func (e *Engine) ChangeSettings(ctx context.Context, module string, change func(*flawless.Settings)) (flawless.Settings, error) {
	if _, err := e.store.Module(ctx, module); err != nil {
		return flawless.Settings{}, err
	}
	s, capped, err := e.policy.ChangeModule(ctx, module, change)
	if err != nil {
		return s, fmt.Errorf("changing the settings of module %s: %w", module, err)
	}
	if capped {
		err = e.caps.Track(ctx, module)
	}
	e.caps.Shift()
	return s, err
}

// Policy returns the settings of modules and hosts. Use [Engine.ChangeSettings] to change those of a module: runs that
// queue may begin then.
func (e *Engine) Policy() *policy.Policy { return e.policy }

// newCaps connects admission with the engine.
func (e *Engine) newCaps() *admit.Caps {
	return admit.NewCaps(admit.CapsOptions{Shared: e.shared, Store: e.store, Lease: e.lease, Peers: e.peers, Context: e.life.Turns, Go: e.tasks.Go, Log: e.log,
		Control: admit.Options{Store: e.store, Modules: e.policy.Capped, Owns: e.isHere, Parked: e.parked,
			Cap:  func(module string) int { return e.policy.Module(module).Concurrency },
			Wake: func(run string) { e.tasks.Go(func() { e.runs.Wake(run) }) }}})
}
