package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/core"
	"github.com/flawless-engine/flawless/internal/library"
	"github.com/flawless-engine/flawless/internal/rpc"
	"github.com/flawless-engine/flawless/internal/store"
)

// MaxModule is the maximum size of a module in bytes.
const MaxModule = library.MaxModule

// AddModule checks, compiles and stores a module; without a name it uses the one in the module's manifest. New runs use it
// from then on, open runs stay on their version. If bin is the newest version already, nothing changes and AddModule
// returns false. Progress is called with the stage and how much of it is done, from 0 to 1; it may be nil. A crash in the
// middle leaves the module added, or not.
func (e *Engine) AddModule(ctx context.Context, name string, bin []byte, progress func(stage string, done float64)) (flawless.Module, bool, error) {
	if name != "" {
		if err := flawless.CheckName("a module's name", name); err != nil {
			return flawless.Module{}, false, fmt.Errorf("adding module %.200q: %w", name, err)
		}
	}
	if len(bin) > MaxModule {
		return flawless.Module{}, false, fmt.Errorf("adding module %q: it has %d bytes, the limit is %d; build with -ldflags=-s -w or import fewer packages: %w", name, len(bin), MaxModule, flawless.TooLarge)
	}
	if err := e.life.Accept(); err != nil {
		return flawless.Module{}, false, err
	}
	m, added, lost, err := e.library.Add(ctx, name, bin, progress)
	if err == nil && lost {
		e.mended(ctx, m)
	}
	return m, added, err
}

// mended drives the runs again that were quarantined because their module could not be read.
func (e *Engine) mended(ctx context.Context, m flawless.Module) {
	for f := (flawless.Filter{Module: m.Name, Status: []flawless.Status{flawless.Unresolved}, Limit: 1000}); ; {
		page, next, err := e.store.Runs(ctx, f)
		if err != nil {
			e.log.Error("listing the runs quarantined for a module failed", "module", m.Name, "error", err)
			return
		}
		for _, run := range page {
			if run.Digest != m.Digest || run.Problem == "" {
				continue
			}
			if err := e.mend(ctx, run.ID); errors.Is(err, flawless.Elsewhere) {
				_, _ = opMend.ask(ctx, e, store.ShardOf(run.ID), run.ID)
			} // else it is still quarantined, for another reason
		}
		if f.Cursor = next; next == "" {
			return
		}
	}
}

// Modules returns the newest version of each module, by name.
func (e *Engine) Modules(ctx context.Context) ([]flawless.Module, error) { return e.store.Modules(ctx) }

// Module returns all versions of a module, newest first, or flawless.NotFound.
func (e *Engine) Module(ctx context.Context, name string) ([]flawless.Module, error) {
	return e.store.Module(ctx, name)
}

// Source returns the source files that were built into a module, see [library.Library.Source].
func (e *Engine) Source(ctx context.Context, name string, version int, digest, file string) (flawless.Source, error) {
	return e.library.Source(ctx, name, version, digest, file)
}

// RemoveModule removes a version of a module, or with version 0 all of them. It removes nothing and returns
// flawless.Conflict while an open run needs one of them. Runs that have ended keep their logs; without the module they
// cannot be replayed.
func (e *Engine) RemoveModule(ctx context.Context, name string, version int) ([]flawless.Module, error) {
	return e.library.Remove(ctx, name, version, e.unused)
}

// users returns the ids of the open runs by the digest of the module that they need.
func (e *Engine) users(ctx context.Context) (map[string][]string, error) {
	users := map[string][]string{}
	seen := map[string]bool{}
	take := func(id, digest string) {
		if !seen[id] {
			seen[id] = true
			users[digest] = append(users[digest], id)
		}
	}
	e.runs.Each(func(id string, s *core.State) { // also those that were just created, which the store does not have
		if s.Outcome() == "" && s.Start().Digest != "" {
			take(id, s.Start().Digest)
		}
	})
	passes := 1
	if e.shared {
		passes = 2 // a run of another server that changes its status while the lists are read may be in none of them
	}
	for range passes {
		for f := (flawless.Filter{Status: flawless.OpenStatuses, Limit: 1000}); ; {
			page, next, err := e.store.Runs(ctx, f)
			if err != nil {
				return nil, err
			}
			for _, r := range page {
				take(r.ID, r.Digest)
			}
			if f.Cursor = next; next == "" {
				break
			}
		}
	}
	return users, nil
}

// unused returns flawless.Conflict if an open run needs one of the modules.
func (e *Engine) unused(ctx context.Context, versions []flawless.Module) error {
	users, err := e.users(ctx)
	if err != nil {
		return err
	}
	for _, m := range versions {
		if ids := users[m.Digest]; len(ids) > 0 {
			return fmt.Errorf("removing module %s, version %d: %d open runs need it, among them %s; let them end, or move them with module upgrade: %w",
				m.Name, m.Version, len(ids), ids[0], flawless.Conflict)
		}
	}
	return nil
}

// mend lets a run take turns again, although there was a problem with it.
func (e *Engine) mend(ctx context.Context, run string) error {
	r, err := e.runs.Seize(ctx, run)
	if err != nil {
		return err
	}
	r.Mend()
	r.Release()
	return nil
}

// opMend lets a run continue that was quarantined because its module could not be read.
var opMend = peerOp[string, rpc.Nothing]{"mend run", func(e *Engine, ctx context.Context, run string) (rpc.Nothing, error) {
	return rpc.Nothing{}, e.mend(ctx, run)
}}
