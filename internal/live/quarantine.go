package live

import (
	"cmp"
	"context"
	"errors"
	"strings"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/core"
	"github.com/flawless-engine/flawless/internal/store"
)

// Quarantine stops a run that cannot take its next turn: its guest cannot be recreated, or diverged from its log. It does
// nothing if the run has ended, or err only says that the engine is stopping. If this server refuses to run the guest
// (flawless.Refused), for instance because of its limits, the next one tries once more: with others the run may continue.
func (r *Run) Quarantine(err error) {
	g := r.reg
	r.mu.Lock()
	if r.s.Outcome() != "" || r.part.life.Turns.Err() != nil || errors.Is(err, context.Canceled) {
		r.mu.Unlock()
		return
	}
	if r.problem, r.retried = err.Error(), errors.Is(err, flawless.Refused); r.retried {
		r.problem = strings.TrimSuffix(r.problem, ": "+string(flawless.Refused)) + "; the run is tried again when the server is restarted"
	}
	r.evictGuest()()
	r.mu.Unlock()
	g.note(r.id, err)
	r.writeHead()
}

// wasQuarantined reports whether the store still calls the run quarantined, although it is not any more. The caller holds mu.
func (r *Run) wasQuarantined() bool {
	return r.problem == "" && r.failed == nil && r.s.Outcome() == "" && r.stored != nil && r.stored.Run.Problem != ""
}

// writeHead writes the head of the run when it changed without an entry: the run was quarantined, or no longer is, or its
// row is stale. It does nothing if entries wait to be written, because the head must not say what is not durable; their write
// has the head then.
func (r *Run) writeHead() {
	g := r.reg
	r.mu.Lock()
	r.waitWritten()
	before, state := r.stored, r.s.Summary()
	if before == nil || r.failed != nil || len(r.outbox) > 0 { // its first record is not written, and has the head
		r.mu.Unlock()
		return
	}
	r.writing = true
	head, summary := r.head(state), r.visible(state)
	head.Run.Waiting = r.waiting(head.Run.Status)
	summary.Waiting = r.waiting(summary.Status)
	r.rowIs(true)
	r.mu.Unlock()
	defer r.endWrite()
	w := store.Write{ID: r.id, Before: before, After: &head}
	if err := r.part.life.WhenSpace(func() error { return g.o.Store.Write(context.Background(), g.o.Lease, w) }); err != nil {
		if !r.part.life.Over() { // else the next owner will find the same
			g.o.Log.Error("recording whether a run is quarantined failed", "run", r.id, "error", err)
		}
		return
	}
	r.mu.Lock()
	r.stored = &head
	r.mu.Unlock()
	g.retrying.note(r.id, len(before.Run.Retrying) > 0, len(head.Run.Retrying) > 0)
	if head.Wake != 0 {
		g.o.Clock.Add(head.Wake, r.id)
	}
	g.o.Hub.Publish(summary)
}

// quarantineUnread quarantines a run whose log cannot be read or written. The others continue.
func (g *Registry) quarantineUnread(id string, why error) {
	g.note(id, why)
	head, err := g.o.Store.Head(context.Background(), id)
	if err != nil {
		return // the log and the health of the server name the run; nothing else can be done
	}
	after := head
	after.Active, after.Wake, after.Run.Retrying, after.Run.RetryingCalls = errors.As(why, new(*imageError)), 0, nil, 0
	after.Run.Waiting = nil
	g.retrying.note(id, true, false)
	if !after.Run.Status.Ended() {
		after.Run.Status, after.Run.Problem = flawless.Unresolved, why.Error()
	}
	after.Run.Problem = cmp.Or(after.Run.Problem, why.Error())
	if err := g.o.Store.Write(context.Background(), g.o.Lease, store.Write{ID: id, Before: &head, After: &after}); err != nil {
		g.o.Log.Error("recording the quarantine of a run failed", "run", id, "error", err)
	}
}

// note records that a run is quarantined, and why.
func (g *Registry) note(id string, why error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.parts[store.ShardOf(id)].Load() == nil {
		return // its next owner will find the same
	}
	g.o.Log.Error("run quarantined, the others continue", "run", id, "error", why)
	g.quarantined[id] = why.Error()
}

// Quarantined returns the ids of the runs that were quarantined, including those whose head could not be read or written.
func (g *Registry) Quarantined() map[string]bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	ids := make(map[string]bool, len(g.quarantined))
	for id := range g.quarantined {
		ids[id] = true
	}
	return ids
}

// AcquireQuarantined is Acquire that also accepts a quarantined run and ends its quarantine. A run that cannot be acquired
// stays quarantined.
func (g *Registry) AcquireQuarantined(ctx context.Context, id string) (*Run, error) {
	g.mu.Lock()
	why := g.quarantined[id]
	delete(g.quarantined, id)
	g.mu.Unlock()
	r, err := g.Acquire(ctx, id)
	if err != nil && why != "" && !errors.Is(err, flawless.Damaged) {
		g.mu.Lock()
		g.quarantined[id] = why
		g.mu.Unlock()
	}
	return r, err
}

// Seized is a run that was seized: it takes no turn until it is released.
type Seized struct{ r *Run }

// Seize acquires a run, waits for its driver and replaces it. It ends the quarantine of the run.
func (g *Registry) Seize(ctx context.Context, id string) (Seized, error) {
	r, err := g.AcquireQuarantined(ctx, id)
	if err != nil {
		return Seized{}, err
	}
	stop := context.AfterFunc(ctx, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.idle.Broadcast()
	})
	defer stop()
	r.mu.Lock()
	for r.driving && ctx.Err() == nil && !r.part.life.Over() {
		r.idle.Wait()
	}
	if r.driving {
		r.mu.Unlock()
		r.Release()
		return Seized{}, cmp.Or(ctx.Err(), r.part.life.Err())
	}
	r.driving = true
	r.stop = func() {} // entries that arrive now are written at once, as while a guest computes
	r.evictGuest()()   // a run to be seized next may wait for its slot
	r.mu.Unlock()
	r.flush()
	return Seized{r}, nil
}

// View calls f with the state of the run, which f must neither change nor keep.
func (s Seized) View(f func(s *core.State)) { s.r.View(f) }

// Mend lets the run take turns again once it is released, although there was a problem with it.
func (s Seized) Mend() {
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	s.r.problem = ""
}

// Upgrade moves the run to other code, and returns when that is durable.
func (s Seized) Upgrade(u flawless.Upgrade) error {
	r := s.r
	defer r.reg.o.Library.Choose()()
	r.mu.Lock()
	r.append(r.s.UpgradeEntry(u, r.reg.o.Now()))
	r.evictGuest()()
	r.problem = ""
	r.imageTurn, r.imageCost = 0, 0
	r.mu.Unlock()
	r.flush()
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed
}

// Release gives the run back, and drives it.
func (s Seized) Release() {
	r, life := s.r, s.r.part.life
	r.mu.Lock()
	r.stop = nil
	if life.Over() || life.Turns.Err() != nil {
		r.driving = false
		r.idle.Broadcast()
		r.mu.Unlock()
		r.Release()
		return
	}
	r.kick = true
	r.mu.Unlock()
	r.part.tasks.Go(func() {
		defer r.Release()
		r.carryOn(r.drive())
	})
}
