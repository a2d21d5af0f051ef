package live

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/core"
	"github.com/flawless-engine/flawless/internal/guest"
	"github.com/flawless-engine/flawless/internal/replay"
	"github.com/flawless-engine/flawless/internal/store"
)

// image holds metadata about the stored images of a run's guest. Guarded by mu.
type image struct {
	imaged    bool   // the store has an image
	imageTurn int    // turns when the last image was made
	imageCost uint64 // and what they had cost
	imageSize int    // bytes of the last image
	marks     []mark // records where images were made
	leaving   bool   // make an image, then evict the guest

	senders int // how many were left when forgetSenders last looked; used only by the driver
}

// mark is a position in a log where an image was made: the next record, and the turns before it.
type mark struct {
	seq  uint64
	turn int
	cost uint64
}

// Freezing says when images are made. A run is worth one when recreating its guest without an image would take longer than
// reading the image.
type Freezing struct {
	// Units is how much computation since the last image makes a run that leaves memory worth a new one; 0 is 8 million,
	// some milliseconds. Less than that is replayed.
	Units uint64
	// Turns and LongUnits do the same for a run that stays in memory; 0 is 250 and 100 million.
	Turns     int
	LongUnits uint64
	Never     bool

	// If the last image is larger than 1 MiB, all limits are multiplied by its size in MiB: otherwise a guest with
	// thousands of goroutines would spend more on its images than on its work.
}

func (f *Freezing) defaults() {
	f.Units, f.Turns, f.LongUnits = cmp.Or(f.Units, 8<<20), cmp.Or(f.Turns, 250), cmp.Or(f.LongUnits, 100<<20)
}

// worth reports whether to make an image of a run that leaves memory, or stays in it. size is that of its last image.
func (f *Freezing) worth(units uint64, turns, size int, leaves bool) bool {
	times := max(1, size>>20)
	switch {
	case f.Never || turns == 0:
		return false
	case leaves:
		return units >= f.Units*uint64(times)
	}
	return units >= f.LongUnits*uint64(times) || turns >= f.Turns*times
}

// wantsImage reports whether to make an image of the run. The caller holds mu.
func (r *Run) wantsImage(leaves bool) bool {
	return r.inst != nil && r.s.Outcome() == "" && r.problem == "" && r.failed == nil &&
		r.reg.o.Freezing.worth(r.s.Cost()-r.imageCost, r.s.Turns()-r.imageTurn, r.imageSize, leaves)
}

// freeze makes an image of the run if its outbox is empty, because everything in an image must be durable. The driver calls
// it. Failing to make or write an image is harmless.
func (r *Run) freeze() {
	g := r.reg
	r.forgetSenders()
	r.mu.Lock()
	r.waitWritten()
	if r.inst == nil || r.s.Outcome() != "" || len(r.outbox) > 0 || r.failed != nil {
		r.mu.Unlock()
		return
	}
	m := store.Image{Seq: r.seq, State: r.s.Snapshot()}
	turn, cost := r.s.Turns(), r.s.Cost()
	r.sealed = r.seq
	r.writing = true // an end written in the meantime would not see that the log is cut
	imaged := r.imaged
	r.mu.Unlock()
	freeze := r.inst.Freeze
	if r.keepTurns() > 0 || imaged && g.isCut(r.id) {
		freeze = r.inst.FreezeWhole // the image must serve later servers, which may make another base image
	}
	var err error
	if m.Guest, err = freeze(); err == nil {
		err = r.keepImage(m, turn)
	}
	r.mu.Lock()
	if err == nil {
		r.marks = append(r.marks, mark{m.Seq, turn, cost})
	}
	r.imageTurn, r.imageCost = turn, cost // even after a failure, so that the next attempt is not made at once
	r.imaged, r.imageSize = r.imaged || err == nil, len(m.Guest)+len(m.State)
	r.mu.Unlock()
	r.endWrite()
	switch {
	case err == nil:
		g.counts.frozen.Add(1)
	case !errors.Is(err, flawless.Refused) && !r.part.life.Over(): // some guests cannot be frozen
		g.o.Log.Warn("writing an image failed", "run", r.id, "error", err)
	}
}

// keepImage writes an image made after the given turn. If the module limits how many turns of a log are kept, it also cuts
// the log at the latest mark that leaves enough of them.
func (r *Run) keepImage(m store.Image, turn int) error {
	g, ctx := r.reg, context.Background()
	minTurns := r.keepTurns()
	if minTurns == 0 {
		r.mu.Lock()
		r.marks = nil
		r.mu.Unlock()
		return g.o.Store.PutImage(ctx, g.o.Lease, r.id, m)
	}
	last := -1
	for k, at := range r.marks {
		if at.turn <= turn-minTurns {
			last = k
		}
	}
	if last < 0 {
		return g.o.Store.PutImage(ctx, g.o.Lease, r.id, m)
	}
	at := r.marks[last]
	if err := g.o.Store.PutImageAndCut(ctx, g.o.Lease, r.id, m, flawless.Cut{Next: at.seq, Turns: at.turn, Cost: at.cost}); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.marks = slices.Delete(r.marks, 0, last+1)
	return nil
}

// keepTurns returns the minimum number of turns to keep in the run's log; 0 keeps all.
func (r *Run) keepTurns() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.reg.o.Policy.Module(r.s.Start().Module).KeepTurns
}

// isCut reports whether the log of a run was cut, so that it cannot be read without its image.
func (g *Registry) isCut(id string) bool {
	for rec, err := range g.o.Store.Log(context.Background(), id, 0) {
		return err != nil || rec.Cut != nil
	}
	return false
}

// dropGuestOfImage removes the guest from the image of a run that has ended, and keeps its state. A failure only costs
// disk space.
func (g *Registry) dropGuestOfImage(id string) {
	m, err := g.o.Store.Image(context.Background(), id)
	if err == nil && len(m.Guest) > 0 {
		m.Guest = nil
		err = g.o.Store.PutImage(context.Background(), g.o.Lease, id, m)
	}
	if err != nil {
		g.o.Log.Warn("shrinking the image of an ended run failed", "run", id, "error", err)
	}
}

// thaw recreates the guest from the run's image and the turns after it. It returns nil without an error if there is no
// usable image.
func (r *Run) thaw(ctx context.Context, m *guest.Module, s guest.Start) (*guest.Instance, error) {
	if !r.imaged {
		return nil, nil
	}
	g := r.reg
	image, err := g.o.Store.Image(ctx, r.id)
	before := core.NewState(r.id, g.o.Kinds)
	if err == nil {
		err = before.Restore(image.State)
	}
	var inst *guest.Instance
	if err == nil {
		s.Run, s.URL, s.Steps = before.Self().Run, before.Self().URL, before.OpenSteps()
		inst, err = m.Thaw(ctx, s, image.Guest)
	}
	if ctx.Err() != nil {
		if inst != nil {
			inst.Release()
		}
		return nil, ctx.Err()
	}
	if err != nil {
		g.fallBack(r.id, err)
		for rec, logged := range g.o.Store.Log(ctx, r.id, 0) {
			if logged == nil && rec.Cut != nil {
				return nil, replay.TruncatedError(r.id, rec.Cut, err, flawless.Refused)
			}
			break
		}
		return nil, nil
	}
	arrived := map[int]flawless.Answer{}
	for _, a := range before.Ready() {
		arrived[a.Call] = a
	}
	if err := replay.Continue(ctx, inst, r.id, g.o.Store.Log(ctx, r.id, image.Seq), arrived, nil); err != nil {
		inst.Release()
		return nil, err
	}
	g.counts.thawed.Add(1)
	return inst, nil
}

// fallBack counts and logs an unusable image.
func (g *Registry) fallBack(id string, why error) {
	g.counts.fallbacks.Add(1)
	g.o.Log.Info("an image is unusable, the run is replayed from its log", "run", id, "error", why)
}

// imageError is the error for a run that needs its image, and has one that this server cannot use. Another version of the
// server may.
type imageError struct{ error }

func (e *imageError) Unwrap() error { return e.error }

// past holds what was read of a run: its state, from the image and the log after it.
type past struct {
	head  store.Head
	s     *core.State
	seq   uint64           // of the next record
	image store.Image      // Seq is 0 without one
	turn  int              // turns in it
	cost  uint64           // of these
	tail  []flawless.Entry // of the last record behind the image, if it only has late attempts

	// lost is set if a run that has ended was read without the image that its cut log needs. Its open calls are then
	// unknown, and s has none.
	lost *flawless.Cut
}

// read reads a run from the store.
func (g *Registry) read(ctx context.Context, id string) (past, error) {
	head, err := g.o.Store.Head(ctx, id)
	if err != nil {
		return past{}, err
	}
	p, err := g.readFrom(ctx, head, !head.Run.Status.Ended())
	if err == nil && p.lost != nil {
		p, err = g.readFrom(ctx, head, true)
	}
	if err == nil && head.Run.Status.Ended() && p.s.Outcome() == "" {
		return p, fmt.Errorf("run %s was %s while its log could not be read, so its end is not in the log: %w", id, head.Run.Status, flawless.Damaged)
	}
	return p, err
}

// readFrom reads a run from its image, if requested and usable, and the log after it.
func (g *Registry) readFrom(ctx context.Context, head store.Head, image bool) (past, error) {
	id := head.Run.ID
	p := past{head: head, s: core.NewState(id, g.o.Kinds)}
	var unusable error // the image
	if image {
		var err error
		p.image, err = g.o.Store.Image(ctx, id)
		if err == nil {
			err = p.s.Restore(p.image.State)
		}
		if err != nil {
			if !errors.Is(err, flawless.NotFound) {
				g.fallBack(id, err)
			}
			p.image, p.s, unusable = store.Image{}, core.NewState(id, g.o.Kinds), err
		}
	}
	p.seq = p.image.Seq
	p.turn, p.cost = p.s.Turns(), p.s.Cost()
	for rec, err := range g.o.Store.Log(ctx, id, p.seq) {
		if err != nil {
			return p, err
		}
		if rec.Seq != p.seq {
			return p, fmt.Errorf("the log of run %s has record %d where %d should be: %w", id, rec.Seq, p.seq, flawless.Damaged)
		}
		for _, entry := range rec.Entries {
			p.s.Step(entry)
		}
		if p.tail = nil; core.OnlyLateAttempts(rec.Entries) {
			p.tail = rec.Entries
		}
		p.seq++
		if c := rec.Cut; c != nil {
			if !head.Run.Status.Ended() {
				err := replay.TruncatedError(id, c, unusable, flawless.Damaged)
				if unusable != nil && !errors.Is(unusable, flawless.NotFound) {
					err = &imageError{err}
				}
				return p, err
			}
			p.lost, p.seq = c, c.Next
			p.s.Cut(c)
		}
	}
	if p.seq == 0 {
		return p, fmt.Errorf("the log of run %s is empty: %w", id, flawless.Damaged)
	}
	if p.lost != nil {
		p.s.ForgetCalls()
	}
	return p, nil
}

// forgetSenders drops senders that can no longer repeat a message, before the next image includes them. It looks only when
// there are twice as many senders as after the last time, so the cost of a message does not depend on their number. The
// driver calls it.
func (r *Run) forgetSenders() {
	r.mu.Lock()
	if r.s.CountSenders() <= max(core.MaxSenders, 2*r.senders) {
		r.mu.Unlock()
		return
	}
	all := r.s.Senders()
	r.mu.Unlock()
	for id, call := range all {
		if !r.reg.maySend(id) {
			r.mu.Lock()
			r.s.ForgetSender(id, call)
			r.mu.Unlock()
		}
	}
	r.mu.Lock()
	r.senders = r.s.CountSenders()
	r.mu.Unlock()
}

// maySend reports whether a run that sent a message may send another, or repeat it after a crash. A run that has ended
// without open calls cannot, nor can one that has been removed since: its id is never reused.
func (g *Registry) maySend(id string) bool {
	h, err := g.o.Store.Head(g.o.Lifecycle.Calls, id)
	if err != nil {
		return !errors.Is(err, flawless.NotFound)
	}
	return !h.Run.Status.Ended() || h.Active
}
