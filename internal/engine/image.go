package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/core"
	"github.com/flawless-engine/flawless/internal/guest"
	"github.com/flawless-engine/flawless/internal/replay"
	"github.com/flawless-engine/flawless/internal/store"
)

// past is what is read of a run: its state, from the image and the log behind it.
type past struct {
	head  store.Head
	s     *core.State
	seq   uint64           // of the next record
	image store.Image      // Seq is 0 where there is none
	turn  int              // turns in it
	cost  uint64           // of these
	tail  []flawless.Entry // of the last record behind the image, where it tells of late tries only

	// lost is set where a run that has ended was read without the image that its cut log needs. Which of
	// its calls are open is not known then, and none is.
	lost *flawless.Cut
}

// read reads a run from the store.
func (e *Engine) read(ctx context.Context, id string) (past, error) {
	head, err := e.store.Head(ctx, id)
	if err != nil {
		return past{}, err
	}
	p, err := e.readFrom(ctx, head, !head.Run.Status.Ended())
	if err == nil && p.lost != nil {
		p, err = e.readFrom(ctx, head, true)
	}
	if err == nil && head.Run.Status.Ended() && p.s.Outcome() == "" {
		return p, fmt.Errorf("run %s was %s while its log could not be read, which does not have its end: %w", id, head.Run.Status, flawless.Damaged)
	}
	return p, err
}

// readFrom reads a run from its image, where that is asked for and of use, and the log behind it.
func (e *Engine) readFrom(ctx context.Context, head store.Head, image bool) (past, error) {
	id := head.Run.ID
	p := past{head: head, s: core.NewState(id, e.kinds)}
	var unusable error // the image
	if image {
		var err error
		p.image, err = e.store.Image(ctx, id)
		if err == nil {
			err = p.s.Restore(p.image.State)
		}
		if err != nil {
			if !errors.Is(err, flawless.NotFound) {
				e.fallback(id, err)
			}
			p.image, p.s, unusable = store.Image{}, core.NewState(id, e.kinds), err
		}
	}
	p.seq = p.image.Seq
	p.turn, p.cost = p.s.Turns(), p.s.Cost()
	for rec, err := range e.store.Log(ctx, id, p.seq) {
		if err != nil {
			return p, err
		}
		if rec.Seq != p.seq {
			return p, fmt.Errorf("the log of run %s has record %d where %d should be: %w", id, rec.Seq, p.seq, flawless.Damaged)
		}
		for _, entry := range rec.Entries {
			p.s.Step(entry)
		}
		if p.tail = nil; core.OnlyLateTries(rec.Entries) {
			p.tail = rec.Entries
		}
		p.seq++
		if c := rec.Cut; c != nil {
			if !head.Run.Status.Ended() {
				return p, replay.TruncatedError(id, c, unusable, flawless.Damaged)
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

// fallback takes note of an image that is of no use.
func (e *Engine) fallback(id string, why error) {
	e.counts.fallbacks.Add(1)
	e.log.Info("an image is of no use, the run is made again from its log", "run", id, "error", why)
}

// Freezing says when images are made. A run is worth one when making its guest again would take
// longer than reading the image does.
type Freezing struct {
	// Units is how much computation since the last image makes a run that leaves memory worth one;
	// 0 is 8 million, some milliseconds. Less is replayed.
	Units uint64
	// Turns and LongUnits do the same for a run that stays in memory; 0 is 1,000 and 100 million.
	Turns     int
	LongUnits uint64
	Never     bool
}

func (f *Freezing) defaults() {
	f.Units, f.Turns, f.LongUnits = cmp.Or(f.Units, 8<<20), cmp.Or(f.Turns, 250), cmp.Or(f.LongUnits, 100<<20)
}

// worth tells whether an image is to be made of a run that leaves memory, or goes on.
func (f *Freezing) worth(units uint64, turns int, leaves bool) bool {
	switch {
	case f.Never || turns == 0:
		return false
	case leaves:
		return units >= f.Units
	}
	return units >= f.LongUnits || turns >= f.Turns
}

// wantsImage tells whether an image of the run is to be made. The caller holds mu.
func (r *run) wantsImage(leaves bool) bool {
	return r.inst != nil && r.s.Outcome() == "" && r.problem == "" && r.failed == nil &&
		r.e.freezing.worth(r.s.Cost()-r.imageCost, r.s.Turns()-r.imageTurn, leaves)
}

// freeze makes an image of the run, unless something waits to be written: what it takes must be
// durable. The driver calls it. An image that cannot be made or written is not missed.
func (r *run) freeze() {
	r.forgetSenders()
	r.mu.Lock()
	for r.writing {
		r.idle.Wait()
	}
	if r.inst == nil || r.s.Outcome() != "" || len(r.outbox) > 0 || r.failed != nil {
		r.mu.Unlock()
		return
	}
	m := store.Image{Seq: r.seq, State: r.s.Snapshot()}
	turn, cost := r.s.Turns(), r.s.Cost()
	r.sealed = r.seq
	r.writing = true // an end that is written meanwhile would not see that the log is cut
	imaged := r.imaged
	r.mu.Unlock()
	do := r.inst.Freeze
	if r.keepTurns() > 0 || imaged && r.e.isCut(r.id) {
		do = r.inst.FreezeWhole // the image must serve servers to come, which may make another base image
	}
	var err error
	if m.Guest, err = do(); err == nil {
		err = r.keep(m, turn)
	}
	r.mu.Lock()
	if err == nil {
		r.marks = append(r.marks, mark{m.Seq, turn, cost})
	}
	r.imageTurn, r.imageCost = turn, cost // also where it failed: it is tried again later, not at once
	r.imaged = r.imaged || err == nil
	r.writing = false
	r.idle.Broadcast()
	r.mu.Unlock()
	switch {
	case err == nil:
		r.e.counts.frozen.Add(1)
	case !errors.Is(err, flawless.Refused): // some guests cannot be frozen
		r.e.log.Warn("an image of a run could not be kept", "run", r.id, "error", err)
	}
}

// thaw makes the guest from the run's image and the turns behind it. It returns nil without an error
// where there is no image, or none that is of use.
func (r *run) thaw(ctx context.Context, m *guest.Module, s guest.Start) (*guest.Instance, error) {
	if !r.imaged {
		return nil, nil
	}
	image, err := r.e.store.Image(ctx, r.id)
	before := core.NewState(r.id, r.e.kinds)
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
		r.e.fallback(r.id, err)
		for rec, logged := range r.e.store.Log(ctx, r.id, 0) {
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
	if err := replay.Continue(ctx, inst, r.id, r.e.store.Log(ctx, r.id, image.Seq), arrived, nil); err != nil {
		inst.Release()
		return nil, err
	}
	r.e.counts.thawed.Add(1)
	return inst, nil
}
