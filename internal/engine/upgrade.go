package engine

import (
	"context"
	"fmt"
	"iter"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/core"
	"github.com/flawless-engine/flawless/internal/live"
	"github.com/flawless-engine/flawless/internal/residency"
	"github.com/flawless-engine/flawless/internal/upgrade"
)

// Upgrade describes which runs move to the newest version of their module, and how.
type Upgrade = upgrade.Options

// Upgrade checks every open run of a module, or the runs named in o, by replaying it with the newest version, and moves
// those that can continue there, see [upgrade.Do].
func (e *Engine) Upgrade(ctx context.Context, name string, o Upgrade) (flawless.ModuleUpgrade, error) {
	report, err := e.upgrade(ctx, name, o)
	e.Explain(ctx, report, o.Module)
	if err != nil && report.Module == "" {
		err = fmt.Errorf("upgrading the runs of module %s: %w", name, err)
	}
	return report, err
}

func (e *Engine) upgrade(ctx context.Context, name string, o Upgrade) (flawless.ModuleUpgrade, error) {
	if err := o.Check(); err != nil {
		return flawless.ModuleUpgrade{}, err
	}
	versions, err := e.store.Module(ctx, name)
	if err != nil {
		return flawless.ModuleUpgrade{}, err
	}
	code, done, err := e.library.Borrow(ctx, versions[0].Digest, o.Module)
	if err != nil {
		return flawless.ModuleUpgrade{}, err
	}
	defer done()
	if !o.DryRun {
		moved, err := e.library.Reserve(ctx, versions[0].Digest)
		if err != nil {
			return flawless.ModuleUpgrade{}, err
		}
		defer moved()
	}
	return upgrade.Do(ctx, (*upgrades)(e), upgrade.Target{Name: name, Versions: versions, Code: code, Kinds: e.kinds}, o)
}

// upgrades is the Engine as an upgrade sees it.
type upgrades Engine

func (u *upgrades) Run(ctx context.Context, id string) (flawless.Run, error) {
	return (*Engine)(u).Run(ctx, id)
}

func (u *upgrades) Runs(ctx context.Context, f flawless.Filter) ([]flawless.Run, string, error) {
	return u.store.Runs(ctx, f)
}

func (u *upgrades) Log(ctx context.Context, run string) iter.Seq2[flawless.Record, error] {
	return u.store.Log(ctx, run, 0)
}

func (u *upgrades) IsOpen(ctx context.Context, run string) bool {
	head, err := u.store.Head(ctx, run)
	return err == nil && !head.Run.Status.Ended()
}

func (u *upgrades) Compute(ctx context.Context) (done func(), err error) {
	if err := u.residency.Compute.Acquire(ctx, residency.Heavy, 0, nil); err != nil {
		return nil, err
	}
	return u.residency.Compute.Release, nil
}

func (u *upgrades) Seize(ctx context.Context, id string) (upgrade.Run, error) {
	return u.seizer.Seize(ctx, id)
}

func (u *upgrades) Accepts() error { return u.life.Accept() }

// newSeizer connects upgrades with the runs of all engines.
func (e *Engine) newSeizer() *upgrade.Seizer {
	return upgrade.NewSeizer(upgrade.SeizerOptions{Run: e.Run, Owns: e.runs.Owns, Part: e.runs.Life, Calls: e.life.Calls, Go: e.tasks.Go, Peers: e.peers, Log: e.log,
		Seize: func(ctx context.Context, id string) (upgrade.Run, error) {
			r, err := e.runs.Seize(ctx, id)
			if err != nil {
				return nil, err
			}
			return seized{r}, nil
		}})
}

// seized is a seized run as an upgrade sees it.
type seized struct{ live.Seized }

// Now implements upgrade.Run.
func (s seized) Now() (end flawless.Status, turns int, digest string) {
	s.View(func(s *core.State) { end, turns, digest = s.Outcome(), s.Turns(), s.Start().Digest })
	return end, turns, digest
}

// Move implements upgrade.Run.
func (s seized) Move(u flawless.Upgrade) error { return s.Upgrade(u) }
