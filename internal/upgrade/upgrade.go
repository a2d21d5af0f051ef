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

// Options says which runs to move to the newest version of their module, and how.
type Options struct {
	Module       []byte   // code to check instead of the newest version; requires DryRun
	Runs         []string // only these; nil is all open runs
	From         int      // only runs of this version; 0 is all
	Parallel     int      // how many runs to check at once; 0 is the number of cores
	DryRun       bool     // report without moving
	AllOrNothing bool     // move none unless all can be moved
	Limit        int      // maximum number of runs listed in the report; 0 is flawless.DefaultUpgradeRuns
	Who          string
	// Progress is called after each check and each move, unless it is nil. It may be called concurrently.
	Progress func(stage string, done, all int)
}

// Engine is what an upgrade needs of an engine.
type Engine interface {
	Run(ctx context.Context, id string) (flawless.Run, error)
	Runs(ctx context.Context, f flawless.Filter) (page []flawless.Run, next string, err error)
	Log(ctx context.Context, run string) iter.Seq2[flawless.Record, error]
	// IsOpen reports whether the store has the run and it has not ended.
	IsOpen(ctx context.Context, run string) bool
	// Compute waits for a permit to compute. The caller must call done.
	Compute(ctx context.Context) (done func(), err error)
	// Seize keeps a run from taking turns until Release.
	Seize(ctx context.Context, run string) (Run, error)
	// Accepts returns nil if the engine accepts new work.
	Accepts() error
}

// Run is a seized run.
type Run interface {
	// Now returns the current state: the end, "" while the run is open, the number of turns, and the code.
	Now() (end flawless.Status, turns int, digest string)
	// Move moves the run to other code, and returns when that is durable.
	Move(u flawless.Upgrade) error
	// Release gives it back, and drives it.
	Release()
}

// Target is the code that runs are moved to.
type Target struct {
	Name     string
	Versions []flawless.Module // versions of the module, newest first
	Code     *guest.Module
	Kinds    map[string]*effect.Kind
}

// upgrade is the state of one upgrade.
type upgrade struct {
	Options
	e        Engine
	to       Target
	versions map[string]int // version by digest
	report   flawless.ModuleUpgrade
	runs     []flawless.RunUpgrade
	wakes    []int64 // next timer of each run in the new code
}

// Check returns flawless.Invalid if the options contradict each other.
func (o *Options) Check() error {
	if o.Limit < 0 || o.Limit > flawless.MaxUpgradeRuns {
		return fmt.Errorf("the limit of the report is %d runs; use 1 to %d: %w", o.Limit, flawless.MaxUpgradeRuns, flawless.Invalid)
	}
	if o.Module != nil && !o.DryRun {
		return fmt.Errorf("a module that was not added can only be checked; add it with module add, or use --dry-run: %w", flawless.Invalid)
	}
	return nil
}

// Do replays every open run of a module, or the requested ones, with other code, and then moves those that do not
// diverge. The others keep their code. Each run moves atomically. After a crash, upgrading again continues with the
// remaining runs.
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

// collect finds the runs to check.
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
			return fmt.Errorf("run %s belongs to module %s: %w", id, r.Module, flawless.Invalid)
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

// each calls f for all runs, several at once.
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

// judge replays one run with the new code. It returns an error only if ctx has ended.
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
	case errors.Is(err, flawless.NotFound): // it is the workflow that is missing
		r.Verdict, r.Reason = flawless.Diverges, err.Error()
	case err != nil:
		r.Verdict, r.Reason = flawless.Undecided, err.Error()
	case r.Divergence != nil:
		r.Verdict = flawless.Diverges
	case p.Last() != nil && p.Last().Ended == nil && p.IsStuck(u.to.Kinds) && u.e.IsOpen(ctx, r.Run):
		r.Verdict, r.Reason = flawless.Diverges, "with the new code the run would have nothing to wait for, and never continue"
	default:
		r.Verdict = flawless.Continues
	}
	return nil
}

// all reports whether all runs can continue with the new code.
func (u *upgrade) all() bool {
	return !slices.ContainsFunc(u.runs, func(r flawless.RunUpgrade) bool { return r.Verdict != flawless.Continues })
}

// move moves the runs that can continue with the new code. With AllOrNothing, none of them takes a turn between the
// first move and the last.
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

// hold seizes a run and makes sure that its verdict is still valid. It returns nil if the run must not be moved.
func (u *upgrade) hold(ctx context.Context, i int) (Run, error) {
	v := &u.runs[i]
	if v.Verdict != flawless.Continues {
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
	default: // it has taken turns since the check
		if err = u.judge(ctx, i); err == nil && v.Verdict == flawless.Continues {
			return r, nil
		}
	}
	r.Release()
	return nil, err
}

// moveRun moves a seized run.
func (u *upgrade) moveRun(r Run, i int) {
	v := &u.runs[i]
	err := r.Move(flawless.Upgrade{Digest: u.report.Digest, From: v.From, Version: u.report.Version, Wake: u.wakes[i], Who: u.Who})
	if v.Moved = err == nil; err != nil {
		v.Reason = err.Error()
	}
}

// finish counts the results and lists first what needs attention.
func (u *upgrade) finish() flawless.ModuleUpgrade {
	for _, r := range u.runs {
		switch r.Verdict {
		case flawless.Continues:
			u.report.Continue++
		case flawless.Diverges:
			u.report.Diverge++
		case flawless.Undecided:
			u.report.Undecided++
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
			case r.Verdict == flawless.Undecided:
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
