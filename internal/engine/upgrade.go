package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/residency"
	"github.com/flawless-engine/flawless/internal/upgrade"
)

// Upgrade says which runs are moved to the newest version of their module, and how.
type Upgrade = upgrade.Options

// Upgrade looks at every open run of a module, or those asked for, by replaying it with the newest
// version, and then moves those that can go on there, see [upgrade.Do].
func (e *Engine) Upgrade(ctx context.Context, name string, o Upgrade) (flawless.ModuleUpgrade, error) {
	report, err := e.upgrade(ctx, name, o)
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
	return upgrade.Do(ctx, (*upgrades)(e), upgrade.Target{Name: name, Versions: versions, Code: code, Kinds: e.kinds}, o)
}

// upgrades is an Engine as an upgrade sees it.
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
	r, err := (*Engine)(u).seize(ctx, id)
	if err != nil {
		return nil, err
	}
	return seized{r}, nil
}

func (u *upgrades) Accepts() error { return (*Engine)(u).accepts() }

// seized is a run that an upgrade has seized.
type seized struct{ r *run }

func (s seized) Now() (end flawless.Status, turns int, digest string) {
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	return s.r.s.Outcome(), s.r.s.Turns(), s.r.s.Start().Digest
}

func (s seized) Move(u flawless.Upgrade) error {
	r := s.r
	defer r.e.library.Choose()()
	r.mu.Lock()
	r.append(r.s.UpgradeEntry(u, r.e.now()))
	r.drop()
	r.problem = ""
	r.imageTurn, r.imageCost = 0, 0
	r.mu.Unlock()
	r.flush()
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed
}

func (s seized) LetGo() { s.r.e.letGo(s.r) }

// seize acquires a run and takes the place of whoever drives it, so that it takes no turn until
// letGo is called. A run that was set aside is taken back into the engine's hands.
func (e *Engine) seize(ctx context.Context, id string) (*run, error) {
	why := e.takeBack(id)
	r, err := e.acquire(ctx, id)
	if err != nil {
		if why != "" && !errors.Is(err, flawless.Damaged) {
			e.mu.Lock()
			e.set[id] = why
			e.mu.Unlock()
		}
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.idle.Broadcast()
	})
	defer stop()
	r.mu.Lock()
	for r.driving && ctx.Err() == nil && !e.dead.Load() {
		r.idle.Wait()
	}
	if r.driving {
		r.mu.Unlock()
		e.release(r)
		return nil, cmp.Or(ctx.Err(), error(flawless.Stopping))
	}
	r.driving = true
	r.stop = func() {} // what arrives meanwhile is written at once, as while a guest computes
	r.drop()           // another one that is to be seized may wait for its place
	r.mu.Unlock()
	r.flush()
	return r, nil
}

// letGo gives a run back that was seized, and sets it going.
func (e *Engine) letGo(r *run) {
	r.mu.Lock()
	r.stop = nil
	if e.dead.Load() || e.ctx.Err() != nil {
		r.driving = false
		r.idle.Broadcast()
		r.mu.Unlock()
		e.release(r)
		return
	}
	r.kick = true
	r.mu.Unlock()
	e.tasks.Go(func() {
		defer e.release(r)
		r.goOn(r.drive())
	})
}
