package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/flawless-engine/flawless/internal/store"
)

// refreshed says which settings, limits, secrets and modules of the database the engine has read.
type refreshed struct {
	sync.Mutex // held while they are read
	known      store.Changes
}

// Refresh reads the settings, limits, secrets and modules that other servers on the database have changed. Call it with each
// renewal of the lease: a change takes effect here with the first call that begins after it. If nothing has changed, it reads
// a few small rows. After an error, the next call reads again what is missing.
//
// Whether there is a module does not depend on it: a run never starts with a version that was removed before, or was not the
// newest any more.
func (e *Engine) Refresh(ctx context.Context) error {
	if err := e.life.Turns.Err(); err != nil {
		return e.life.Err()
	}
	var failed error
	if err := e.history.Refresh(ctx); err != nil {
		failed = fmt.Errorf("settling what the database has lost: %w", err)
	}
	f := &e.refreshed
	f.Lock()
	defer f.Unlock()
	now, err := e.store.Changes(ctx)
	if err != nil {
		return errors.Join(failed, err)
	}
	if f.known == nil {
		f.known = store.Changes{} // what was read when the engine was opened may be older
	}
	for _, part := range []struct {
		of   store.Changed
		what string
		read func(ctx context.Context) error
	}{
		{store.ChangedModules, "modules", e.library.Refresh},
		{store.ChangedSettings, "the settings of modules", e.refreshSettings},
		{store.ChangedHosts, "the settings of hosts", e.policy.RefreshHosts},
		{store.ChangedLimits, "rate limits", e.limits.Load},
		{store.ChangedSecrets, "secrets", e.refreshSecrets},
	} {
		if now[part.of] == f.known[part.of] {
			continue
		}
		if err := part.read(ctx); err != nil {
			failed = errors.Join(failed, fmt.Errorf("reading %s: %w", part.what, err))
			continue
		}
		f.known[part.of] = now[part.of]
	}
	return failed
}

func (e *Engine) refreshSettings(ctx context.Context) error {
	capped, err := e.policy.RefreshModules(ctx)
	if err != nil {
		return err
	}
	for _, module := range capped {
		if err := e.caps.Track(ctx, module); err != nil {
			return err
		}
	}
	e.caps.Shift()
	return nil
}

func (e *Engine) refreshSecrets(ctx context.Context) error {
	if e.vault == nil {
		return nil
	}
	return e.vault.Refresh(ctx)
}
