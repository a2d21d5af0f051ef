package engine

import (
	"context"
	"fmt"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/policy"
)

// newPolicy reads what operators have said.
func (e *Engine) newPolicy(ctx context.Context, o Options) (*policy.Policy, error) {
	retryFor := flawless.DefaultRetryFor
	if o.RetryFor != nil {
		retryFor = *o.RetryFor
	}
	return policy.New(ctx, policy.Options{Store: e.store, RetryFor: retryFor, DeclaredKeys: e.library.Keys,
		PutSettings: func(ctx context.Context, s flawless.Settings) error { return e.store.PutSettings(ctx, e.lease, s) },
		PutHost: func(ctx context.Context, host string, h *flawless.Host) error {
			return e.store.PutHost(ctx, e.lease, host, h)
		}})
}

// Settings returns how the runs of a module are treated, or flawless.NotFound where there is no such
// module.
func (e *Engine) Settings(ctx context.Context, module string) (flawless.Settings, error) {
	if _, err := e.store.Module(ctx, module); err != nil {
		return flawless.Settings{}, err
	}
	return e.policy.Module(module), nil
}

// ChangeSettings changes how the runs of a module are treated. change is given what holds now. It
// takes effect at once, also for the runs that are there.
func (e *Engine) ChangeSettings(ctx context.Context, module string, change func(*flawless.Settings)) (flawless.Settings, error) {
	if _, err := e.store.Module(ctx, module); err != nil {
		return flawless.Settings{}, err
	}
	s, capped, err := e.policy.ChangeModule(ctx, module, change)
	if err != nil {
		return s, fmt.Errorf("changing the settings of module %s: %w", module, err)
	}
	if capped {
		err = e.admission.Track(ctx, module)
	}
	e.admission.Shift()
	return s, err
}

// Hosts returns what is said of hosts, by host.
func (e *Engine) Hosts(context.Context) ([]flawless.Host, error) { return e.policy.Hosts(), nil }

// Host returns what is said of a host under that very name, or flawless.NotFound.
func (e *Engine) Host(_ context.Context, host string) (flawless.Host, error) {
	return e.policy.Host(host)
}

// ChangeHost changes what is said of a host. change is given what holds now. It holds for the next try of
// every call.
func (e *Engine) ChangeHost(ctx context.Context, host string, change func(*flawless.Host)) (flawless.Host, error) {
	return e.policy.ChangeHost(ctx, host, change)
}

// RemoveHost forgets what is said of a host, or returns flawless.NotFound.
func (e *Engine) RemoveHost(ctx context.Context, host string) error {
	return e.policy.RemoveHost(ctx, host)
}
