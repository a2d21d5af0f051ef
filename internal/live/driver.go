package live

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/admit"
	"github.com/flawless-engine/flawless/internal/core"
	"github.com/flawless-engine/flawless/internal/guest"
	"github.com/flawless-engine/flawless/internal/library"
	"github.com/flawless-engine/flawless/internal/replay"
	"github.com/flawless-engine/flawless/internal/residency"
)

// driver is the part of a Run that takes its turns. At most one goroutine drives a run, while there is something to do.
type driver struct {
	// Guarded by mu.
	driving bool               // the run has a driver
	kick    bool               // something happened since the driver last looked
	stop    context.CancelFunc // ends the turn that is being taken, nil if none is
	problem string             // why the run takes no more turns
	retried bool               // the problem is one of this server: the next one tries again

	// Written under mu. While there is a driver, only it changes them, so it reads them without mu.
	computes time.Time       // since when the guest computes, zero if it does not
	inst     *guest.Instance // nil: not in memory

	// Used only by the driver.
	began  time.Time     // of the turn that is being taken
	report time.Duration // when the turn is reported next
	late   *time.Timer   // writes what waits for the turn, nil if not set
}

// wakeLocked makes sure that the run has a driver. While its guest computes, the outbox is written at once. The caller
// holds mu.
func (r *Run) wakeLocked() {
	r.kick = true
	if !r.driving {
		r.driving = true
		r.part.tasks.Go(func() { r.carryOn(r.drive()) })
		return
	}
	if r.stop != nil && len(r.outbox) > 0 {
		r.part.tasks.Go(r.flush)
	}
}

// drive takes turns, writes, and begins attempts until there is nothing to do. It leaves one attempt, if there is
// any, to the caller: usually there is just one, and running it on the current goroutine avoids waking another. The run is
// retained for it.
func (r *Run) drive() (left *begun) {
	life := r.part.life
	mended := false
	for {
		r.mu.Lock()
		if left != nil && (r.kick || len(r.outbox) > 0) {
			r.mu.Unlock()
			r.handOff(left)
			left = nil
			continue
		}
		r.kick = false
		now := r.reg.o.Now()
		if !life.Stopping() {
			r.append(r.s.Fire(now)...)
		}
		// A run whose next turn is always due needs its images most: it is frozen before that turn.
		wantsImage := r.wantsImage(false)
		if !wantsImage && r.problem == "" && r.failed == nil && r.s.WantsTurn(now) && life.MayTurn() && r.admitted() {
			r.mu.Unlock()
			if err := r.takeTurn(); err != nil {
				r.Quarantine(err)
			}
			r.mu.Lock()
		}
		if len(r.outbox) > 0 {
			r.mu.Unlock()
			r.handOff(left)
			left = r.write(true)
			continue
		}
		if leaves := r.leaving; leaves || wantsImage {
			r.leaving = false
			r.mu.Unlock()
			r.handOff(left)
			left = nil
			r.freeze()
			r.mu.Lock()
			if leaves && !r.kick && len(r.outbox) == 0 {
				r.evictGuest()()
			}
			r.mu.Unlock()
			continue
		}
		if !r.kick && !mended && r.wasQuarantined() && !life.Stopping() {
			mended = true
			r.mu.Unlock()
			r.writeHead()
			continue
		}
		if !r.kick {
			r.driving = false
			r.idle.Broadcast()
			r.mu.Unlock()
			r.released()
			r.rests()
			return left
		}
		r.mu.Unlock()
	}
}

// rests tells the handler that nothing is in progress for the run.
func (r *Run) rests() {
	if !r.part.life.Over() {
		r.reg.o.Handler.Rests(r.id)
	}
}

// admitted reports whether the run may take a turn. If not, it is woken when it may. The caller holds mu.
func (r *Run) admitted() bool {
	if r.s.HasBegun() || r.s.CancelRequest() != nil {
		return true
	}
	start := r.s.Start()
	a := admit.Run{ID: r.id, Parent: start.Parent, Module: start.Module, Created: start.Time, Stored: r.stored != nil}
	if start.Queue != nil {
		a.Queue = *start.Queue
	}
	return r.reg.o.Admission.Admits(a)
}

// mustWait is called before the run waits for a slot or a permit to compute. With an empty outbox it does nothing: entries
// that arrive during the wait are written at once.
func (r *Run) mustWait() {
	r.mu.Lock()
	waits := len(r.outbox) > 0
	r.mu.Unlock()
	if waits {
		r.mayTakeLong()
	}
}

// mayTakeLong sets a timer that writes the outbox if the turn takes too long. Most turns end before it is called, and need
// no timer.
func (r *Run) mayTakeLong() {
	if r.late == nil {
		r.late = time.AfterFunc(max(0, r.reg.o.Patience-time.Since(r.began)), r.hurry)
	}
}

// hurry writes the outbox during a long turn: a long computation must not lose a known outcome.
func (r *Run) hurry() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stop != nil && len(r.outbox) > 0 {
		r.part.tasks.Go(r.flush)
	}
}

// yield is called between the quanta of a turn.
func (r *Run) yield() {
	r.mayTakeLong()
	r.reportLong()
	r.reg.o.Residency.Compute.Yield()
}

// reportLong writes a line to the server's log when a turn takes long, and again at growing intervals. The code may compute
// for good reasons, or wait for something in a loop, which never ends: time stands still within a turn, and nothing reaches
// the guest.
func (r *Run) reportLong() {
	const rarer = 6
	took := time.Since(r.computes)
	if r.computes.IsZero() || took < r.report {
		return
	}
	r.report = rarer * took
	r.reg.o.Log.Warn("a turn takes long", "run", r.id, "module", r.s.Start().Module, "workflow", r.s.Start().Workflow, "seconds", int(took.Seconds()))
}

// takeTurn lets the guest compute once and appends the turn.
func (r *Run) takeTurn() error {
	g := r.reg
	ctx, stop := context.WithCancel(r.part.life.Turns)
	defer stop()
	r.mu.Lock()
	r.stop = stop
	r.mu.Unlock()
	r.began = time.Now()
	defer func() {
		if r.late != nil {
			r.late.Stop()
			r.late = nil
		}
		r.mu.Lock()
		r.stop, r.computes = nil, time.Time{}
		r.mu.Unlock()
	}()

	work := residency.NextTurn
	if r.inst == nil {
		if work = residency.FirstTurn; r.s.Turns() > 0 {
			work = residency.Heavy
			r.mayTakeLong() // it is replayed
		}
		if err := g.o.Residency.Acquire(ctx, work, r.s.Start().Time, r.mustWait); err != nil {
			return err
		}
	}
	if err := g.o.Residency.Compute.Acquire(ctx, work, 0, r.mustWait); err != nil {
		if r.inst == nil {
			g.o.Residency.Release()
		}
		return err
	}
	defer g.o.Residency.Compute.Release()
	if r.inst == nil {
		if err := r.revive(ctx); err != nil {
			g.o.Residency.Release()
			return err
		}
	}
	r.mu.Lock()
	if !r.s.WantsTurn(g.o.Now()) { // it has ended in the meantime, or the outcome of a call became unknown
		r.mu.Unlock()
		return nil
	}
	in := guest.In{Time: max(g.o.Now(), r.s.At()), As: r.ownSelf(), Answers: slices.Clone(r.s.Ready()[:min(len(r.s.Ready()), core.MaxBatch)])}
	n := r.s.Turns() + 1
	r.computes, r.report = time.Now(), g.o.LongTurn
	r.mu.Unlock()

	out, err := r.compute(ctx, in)
	if err != nil {
		return err
	}

	r.mu.Lock()
	defer r.mu.Unlock()
	if r.s.Outcome() != "" {
		// The run was terminated while the guest computed. The turn was never written, so it was never taken.
		r.evictGuest()()
		return nil
	}
	t := &flawless.Turn{N: n, Time: in.Time, Calls: out.Calls, Lines: out.Lines, Data: out.Data,
		Wake: out.Wake, Ended: out.Ended, Cost: out.Cost, Labels: out.Labels, Steps: out.Steps, As: in.As}
	core.FitLabels(r.s.Labels(), t)
	for _, a := range in.Answers {
		t.Answers = append(t.Answers, a.Call)
	}
	if t.Ended == nil && r.s.IsStuck(t) {
		t.Ended = &flawless.Ended{Failure: &flawless.Failure{Kind: "stuck",
			Message: "the run waits for nothing: no call, timer or message can ever wake it", Stack: r.inst.Blocked(ctx)}}
		t.Lines = append(t.Lines, flawless.ReportOpenSteps(t.Ended, flawless.OpenSteps(r.s.OpenSteps(), t.Steps))...)
	}
	if replay.TimedOut(t) { // there is no guest left to report them
		t.Lines = append(t.Lines, flawless.ReportOpenSteps(t.Ended, r.s.OpenSteps())...)
	}
	if t.Data != nil {
		r.data = t.Data
	}
	r.append(r.s.TurnEntry(t, g.o.Now()))
	r.requeueBehind()
	if t.Ended != nil && r.inst != nil {
		g.o.Tasks.Go(r.evictGuest()) // beside the write that follows
	}
	return nil
}

// ownSelf returns the identity to deliver with the next turn, nil unless it changes: the guest of a fork knows itself as
// another run until its first own turn. The caller holds mu.
func (r *Run) ownSelf() *flawless.Self {
	if r.s.Self().Run == r.id {
		return nil
	}
	return &flawless.Self{Run: r.id, URL: r.reg.o.URL}
}

var errSlow = errors.New("the turn took too long")

// compute lets the guest take a turn. A turn that takes too long fails, and nothing that it did is kept, because how
// far it got depends on the machine. After an error the guest is gone.
func (r *Run) compute(ctx context.Context, in guest.In) (guest.Out, error) {
	limit, limited := r.reg.o.TurnTime, ctx
	if limit > 0 {
		var stop context.CancelFunc
		limited, stop = context.WithTimeoutCause(ctx, limit, errSlow)
		defer stop()
	}
	out, err := r.inst.Turn(limited, in)
	if err == nil {
		return out, nil
	}
	r.mu.Lock()
	release := r.evictGuest()
	r.mu.Unlock()
	release()
	if ctx.Err() == nil && errors.Is(context.Cause(limited), errSlow) {
		return guest.Out{Ended: &flawless.Ended{Failure: &flawless.Failure{Kind: replay.TooSlow,
			Message: fmt.Sprintf("the turn took longer than %v, which the server allows (--turn-time)", limit)}}}, nil
	}
	return out, err
}

// revive recreates the guest of a run: from its image, or by replaying its log. The driver calls it when every turn is
// written.
func (r *Run) revive(ctx context.Context) error {
	g := r.reg
	l, err := g.o.Library.Load(ctx, r.s.Start().Digest)
	if err != nil {
		return fmt.Errorf("making the guest of run %s: %w", r.id, library.Unreadable(r.s.Start().Module, r.s.Start().Digest, err))
	}
	start := replay.StartOf(r.id, r.s.Start())
	start.Yield = r.yield
	inst, err := r.thaw(ctx, l.Guest(), start)
	if err != nil {
		return err
	}
	if inst == nil {
		if inst, err = l.Guest().Start(ctx, start); err != nil {
			return fmt.Errorf("making the guest of run %s: %w", r.id, err)
		}
		if r.s.Turns() > 0 {
			g.counts.replayed.Add(1)
			if err := replay.Continue(ctx, inst, r.id, g.o.Store.Log(ctx, r.id, 0), nil, nil); err != nil {
				inst.Release()
				return err
			}
		}
	}
	r.mu.Lock()
	r.inst = inst
	r.mu.Unlock()
	return nil
}
