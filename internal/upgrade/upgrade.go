package upgrade

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/guest"
	"github.com/flawless-engine/flawless/internal/replay"
)

// Options says which runs are moved to the newest version of their module, and how.
type Options struct {
	Module       []byte   // code to try instead of the newest version; only where DryRun is set
	Runs         []string // only these; nil is all open ones
	From         int      // only runs of this version; 0 is all
	Parallel     int      // so many are looked at at once; 0 is the number of cores
	DryRun       bool     // only report
	AllOrNothing bool     // move none unless all can
	Limit        int      // the report names so many runs, and counts all; 0 is flawless.DefaultUpgradeRuns
	Who          string
	// Progress is called after each run that was looked at, and after each that was moved. It may be
	// called concurrently; nil is nobody.
	Progress func(stage string, done, all int)
}

// Engine is what an upgrade needs of an engine.
type Engine interface {
	Run(ctx context.Context, id string) (flawless.Run, error)
	Runs(ctx context.Context, f flawless.Filter) (page []flawless.Run, next string, err error)
	Log(ctx context.Context, run string) iter.Seq2[flawless.Record, error]
	// IsOpen tells whether the store has a run that has not ended.
	IsOpen(ctx context.Context, run string) bool
	// Compute waits until a guest may compute, until done is called.
	Compute(ctx context.Context) (done func(), err error)
	// Seize keeps a run from taking turns until it is released.
	Seize(ctx context.Context, run string) (Run, error)
	// Accepts returns nil where new work is taken.
	Accepts() error
}

// Run is a run that was seized.
type Run interface {
	// Now returns how it is: its end, "" while it is open, how many turns it has taken, and the code that it has.
	Now() (end flawless.Status, turns int, digest string)
	// Move moves it to other code, and returns when that is durable.
	Move(u flawless.Upgrade) error
	// Release gives it back, and drives it.
	Release()
}

// Target is the code that runs are moved to.
type Target struct {
	Name     string
	Versions []flawless.Module // of the module, newest first
	Code     *guest.Module
	Kinds    map[string]*effect.Kind
}

// upgrade is one that is under way.
type upgrade struct {
	Options
	e        Engine
	to       Target
	versions map[string]int // by digest
	report   flawless.ModuleUpgrade
	runs     []flawless.RunUpgrade
	wakes    []int64 // by the same index: next timer in the new code
}

// Check returns flawless.Invalid where the options make no sense.
func (o *Options) Check() error {
	if o.Limit < 0 || o.Limit > flawless.MaxUpgradeRuns {
		return fmt.Errorf("the limit of the report is %d runs; use 1 to %d: %w", o.Limit, flawless.MaxUpgradeRuns, flawless.Invalid)
	}
	if o.Module != nil && !o.DryRun {
		return fmt.Errorf("a module that was not added can only be checked; add it with module add, or use --dry-run: %w", flawless.Invalid)
	}
	return nil
}

// Do looks at every open run of a module, or those asked for, by replaying it with other code, and then moves those that
// can go on there. The others stay on the code they have. Each run is moved atomically: a crash in the middle leaves it on
// one side or the other, and upgrading again goes on where it ended.
func Do(ctx context.Context, e Engine, to Target, o Options) (flawless.ModuleUpgrade, error) {
	began := time.Now()
	u := &upgrade{Options: o, e: e, to: to, versions: map[string]int{}}
	for _, v := range slices.Backward(to.Versions) {
		u.versions[v.Digest] = v.Version
	}
	if o.From != 0 && !slices.ContainsFunc(to.Versions, func(m flawless.Module) bool { return m.Version == o.From }) {
		return flawless.ModuleUpgrade{}, fmt.Errorf("it has no version %d: %w", o.From, flawless.NotFound)
	}
	u.report = flawless.ModuleUpgrade{Module: to.Name, Digest: to.Code.Digest(), Version: u.versions[to.Code.Digest()], DryRun: o.DryRun}
	if err := u.collect(ctx, to.Name); err != nil {
		return flawless.ModuleUpgrade{}, err
	}
	u.wakes = make([]int64, len(u.runs))
	err := u.check(ctx)
	if err == nil && !o.DryRun && (!o.AllOrNothing || u.all()) {
		if err = e.Accepts(); err == nil {
			err = u.move(ctx)
		}
	}
	u.report.Took = time.Since(began)
	return u.finish(), err
}

// collect finds the runs to look at.
func (u *upgrade) collect(ctx context.Context, name string) error {
	take := func(r flawless.Run) {
		switch {
		case r.Digest == u.report.Digest:
			u.report.Already++
		case u.From == 0 || u.versions[r.Digest] == u.From:
			u.runs = append(u.runs, flawless.RunUpgrade{Run: r.ID, Workflow: r.Workflow, From: r.Digest, FromVersion: u.versions[r.Digest]})
		}
	}
	for _, id := range u.Runs {
		r, err := u.e.Run(ctx, id)
		switch {
		case err != nil:
			return err
		case r.Module != name:
			return fmt.Errorf("run %s is of module %s: %w", id, r.Module, flawless.Invalid)
		case r.Status.Ended():
			return fmt.Errorf("run %s is %s, and only open runs can be moved; to try other code on it, use workflow fork: %w", id, r.Status, flawless.Conflict)
		}
		take(r)
	}
	if u.Runs != nil {
		return nil
	}
	for f := (flawless.Filter{Module: name, Status: flawless.OpenStatuses, Limit: 1000}); ; {
		page, next, err := u.e.Runs(ctx, f)
		if err != nil {
			return err
		}
		for _, r := range page {
			take(r)
		}
		if f.Cursor = next; next == "" {
			return nil
		}
	}
}

// each calls f for all runs, so many at once.
func (u *upgrade) each(ctx context.Context, stage string, f func(ctx context.Context, i int) error) error {
	var mu sync.Mutex
	n := 0
	g, within := errgroup.WithContext(ctx)
	g.SetLimit(max(1, cmp.Or(u.Parallel, runtime.GOMAXPROCS(0))))
	for i := range u.runs {
		if within.Err() != nil {
			break
		}
		g.Go(func() error {
			if err := f(within, i); err != nil {
				return err
			}
			if u.Progress != nil {
				mu.Lock()
				n++
				done := n
				mu.Unlock()
				u.Progress(stage, done, len(u.runs))
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}

// check replays every run with the new code.
func (u *upgrade) check(ctx context.Context) error {
	return u.each(ctx, "checking", func(ctx context.Context, i int) error {
		done, err := u.e.Compute(ctx)
		if err != nil {
			return err
		}
		defer done()
		return u.judge(ctx, i)
	})
}

// judge replays one run with the new code. An error is only ctx's.
func (u *upgrade) judge(ctx context.Context, i int) error {
	r := &u.runs[i]
	p := replay.NewPlayer(r.Run, replay.Options{})
	defer p.Release()
	err := p.Start(ctx, u.to.Code, u.e.Log(ctx, r.Run))
	if ctx.Err() != nil {
		return ctx.Err()
	}
	r.Turns, r.Calls, r.Divergence, u.wakes[i] = p.Report().Turns, p.Report().Calls, p.Report().Divergence, p.Report().Wake
	switch {
	case errors.Is(err, flawless.NotFound): // the workflow
		r.Verdict, r.Reason = flawless.Diverges, err.Error()
	case err != nil:
		r.Verdict, r.Reason = flawless.Untold, err.Error()
	case r.Divergence != nil:
		r.Verdict = flawless.Diverges
	case p.Last() != nil && p.Last().Ended == nil && p.IsStuck(u.to.Kinds) && u.e.IsOpen(ctx, r.Run):
		r.Verdict, r.Reason = flawless.Diverges, "with the new code the run would have nothing to wait for, and never continue"
	default:
		r.Verdict = flawless.GoesOn
	}
	return nil
}

// all tells whether all runs can go on.
func (u *upgrade) all() bool {
	return !slices.ContainsFunc(u.runs, func(r flawless.RunUpgrade) bool { return r.Verdict != flawless.GoesOn })
}

// move moves the runs that can go on. With AllOrNothing none of them takes a turn from before the
// first is moved until the last one is.
func (u *upgrade) move(ctx context.Context) error {
	if !u.AllOrNothing {
		return u.each(ctx, "moving", func(ctx context.Context, i int) error {
			r, err := u.hold(ctx, i)
			if r == nil || err != nil {
				return err
			}
			defer r.Release()
			u.moveRun(r, i)
			return nil
		})
	}
	held := make([]Run, len(u.runs))
	defer func() {
		for _, r := range held {
			if r != nil {
				r.Release()
			}
		}
	}()
	if err := u.each(ctx, "holding", func(ctx context.Context, i int) (err error) {
		held[i], err = u.hold(ctx, i)
		return err
	}); err != nil || !u.all() {
		return err
	}
	return u.each(ctx, "moving", func(_ context.Context, i int) error {
		if held[i] != nil {
			u.moveRun(held[i], i)
		}
		return nil
	})
}

// hold keeps a run from taking turns and makes sure that the verdict on it is not out of date. It
// returns nil where it is not to be moved.
func (u *upgrade) hold(ctx context.Context, i int) (Run, error) {
	v := &u.runs[i]
	if v.Verdict != flawless.GoesOn {
		return nil, nil
	}
	r, err := u.e.Seize(ctx, v.Run)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		v.Reason = err.Error()
		return nil, nil
	}
	switch status, turns, digest := r.Now(); {
	case status != "":
		v.Reason = fmt.Sprintf("it is %s now", status)
	case digest != v.From:
		v.Reason = "another request moved it in the meantime"
	case turns == v.Turns:
		return r, nil
	default: // it has gone on since it was looked at
		if err = u.judge(ctx, i); err == nil && v.Verdict == flawless.GoesOn {
			return r, nil
		}
	}
	r.Release()
	return nil, err
}

// moveRun moves a run that is held.
func (u *upgrade) moveRun(r Run, i int) {
	v := &u.runs[i]
	err := r.Move(flawless.Upgrade{Digest: u.report.Digest, From: v.From, Version: u.report.Version, Wake: u.wakes[i], Who: u.Who})
	if v.Moved = err == nil; err != nil {
		v.Reason = err.Error()
	}
}

// finish counts, and puts first what needs a look.
func (u *upgrade) finish() flawless.ModuleUpgrade {
	for _, r := range u.runs {
		switch r.Verdict {
		case flawless.GoesOn:
			u.report.GoOn++
		case flawless.Diverges:
			u.report.Diverge++
		case flawless.Untold:
			u.report.Untold++
		}
		if r.Moved {
			u.report.Moved++
		}
	}
	slices.SortStableFunc(u.runs, func(a, b flawless.RunUpgrade) int {
		rank := func(r flawless.RunUpgrade) int {
			switch {
			case r.Verdict == flawless.Diverges:
				return 0
			case r.Verdict == flawless.Untold:
				return 1
			}
			return 2
		}
		return cmp.Compare(rank(a), rank(b))
	})
	named := min(len(u.runs), cmp.Or(u.Limit, flawless.DefaultUpgradeRuns))
	u.report.Runs, u.report.LeftOut = u.runs[:named:named], len(u.runs)-named
	if u.report.Runs == nil {
		u.report.Runs = []flawless.RunUpgrade{}
	}
	return u.report
}
