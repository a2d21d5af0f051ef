package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/core"
	"github.com/flawless-engine/flawless/internal/replay"
	"github.com/flawless-engine/flawless/internal/store"
)

// newRun makes the run's place in memory. The caller holds e.mu.
func (e *Engine) newRun(id string) *run {
	r := &run{e: e, id: id, s: core.NewState(id, e.kinds), refs: 1, loaded: make(chan struct{})}
	r.idle.L = &r.mu
	r.seat.Guest = r
	e.runs[id] = r
	return r
}

// acquire returns a run, read from the store where it was not in memory. Until release is called
// there is no second one of it.
func (e *Engine) acquire(ctx context.Context, id string) (*run, error) {
	for {
		if e.dead.Load() { // what is in memory may never become durable
			return nil, fmt.Errorf("run %s: %w", id, e.over())
		}
		r, err := e.tryAcquire(ctx, id)
		if !errors.Is(err, flawless.Conflict) {
			return r, err
		}
		e.forget(r) // it was to be started, and turned out to be there already
	}
}

// tryAcquire is acquire; with flawless.Conflict it returns a run that is not the one of that id.
func (e *Engine) tryAcquire(ctx context.Context, id string) (*run, error) {
	e.mu.Lock()
	if why, ok := e.set[id]; ok {
		e.mu.Unlock()
		return nil, fmt.Errorf("run %s was set aside: %s: %w", id, why, flawless.Damaged)
	}
	r := e.runs[id]
	if r != nil {
		r.refs++
		e.mu.Unlock()
		select {
		case <-r.loaded:
		case <-ctx.Done():
			e.release(r)
			return nil, ctx.Err()
		}
		if r.loadErr != nil {
			e.release(r)
			return r, r.loadErr
		}
		return r, nil
	}
	r = e.newRun(id)
	e.mu.Unlock()
	r.loadErr = e.load(context.WithoutCancel(ctx), r)
	if r.loadErr != nil {
		e.mu.Lock()
		delete(e.runs, id)
		e.mu.Unlock()
		if errors.Is(r.loadErr, flawless.Damaged) {
			e.setAside(id, r.loadErr)
		}
	}
	close(r.loaded)
	if r.loadErr != nil {
		return nil, r.loadErr
	}
	return r, nil
}

// load reads a run from its log. Tries that were begun have lost their outcome: nobody but us could
// have waited for it.
func (e *Engine) load(ctx context.Context, r *run) error {
	p, err := e.read(ctx, r.id)
	if err != nil {
		return err
	}
	if p.lost != nil && (p.head.Active || p.head.Wake != 0 || len(p.head.Run.Unresolved) > 0) {
		return fmt.Errorf("nothing that run %s has left behind is carried on: %w", r.id, replay.CutError(r.id, p.lost, nil, flawless.Damaged))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.s, r.seq, r.stored = p.s, p.seq, &p.head
	e.retried.note(r.id, false, len(p.head.Run.Retrying) > 0)
	r.tail, r.sealed = p.tail, p.image.Seq
	r.imaged, r.imageTurn, r.imageCost = p.image.Seq > 0, p.turn, p.cost
	if r.imaged {
		r.marks = []mark{{p.image.Seq, p.turn, p.cost}}
	}
	if p := e.holding.Load(); p != nil {
		r.append(r.s.Hold(*p, e.now())...)
	}
	r.append(r.s.Recover(e.now(), r.terms)...)
	if len(r.outbox) > 0 {
		r.wakeLocked()
	}
	waiting := r.waiting()
	errands, ended := r.s.Errands(""), r.s.Outcome() != ""
	r.mu.Unlock()
	e.carry(r, errands, ended && len(errands) > 0)
	for _, w := range waiting {
		r.queue(w)
	}
	r.mu.Lock()
	return nil
}

// hold keeps a run in memory that the caller has acquired, until one more release.
func (e *Engine) hold(r *run) {
	e.mu.Lock()
	defer e.mu.Unlock()
	r.refs++
}

// release lets go of a run.
func (e *Engine) release(r *run) {
	e.mu.Lock()
	defer e.mu.Unlock()
	r.refs--
	e.settle(r)
}

// rest is called when nobody drives a run any more, or writes for it.
func (e *Engine) rest(r *run) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.settle(r)
}

// settle decides where an idle run belongs: out of memory where nothing is under way, among the
// resting ones while its guest is kept for a moment. The caller holds e.mu.
func (e *Engine) settle(r *run) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.driving || r.writing || len(r.outbox) > 0 || e.runs[r.id] != r {
		return
	}
	switch {
	case r.inst != nil:
		wake := int64(0)
		if r.refs == 0 { // else a call of it may be answered at any moment
			wake = r.s.NextWake()
		}
		e.residency.Offer(&r.seat, wake)
	case r.refs == 0:
		e.residency.Withdraw(&r.seat)
		r.gone = true
		delete(e.runs, r.id)
	}
}

// Evict takes the guest from a run, unless somebody drives it by now. It tells whether the guest leaves.
func (r *run) Evict() bool {
	var release func()
	r.mu.Lock()
	rests := !r.driving && r.inst != nil
	switch {
	case !rests:
	case r.wantsImage(true): // the driver makes it, and lets the guest go
		r.leaving = true
		r.wakeLocked()
	default:
		release = r.detach()
	}
	r.mu.Unlock()
	if release != nil {
		release()
	}
	r.e.rest(r)
	return rests
}

// all acquires every run in memory.
func (e *Engine) all() []*run {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []*run
	for _, r := range e.runs {
		select {
		case <-r.loaded:
		default:
			continue
		}
		if r.loadErr == nil {
			r.refs++
			out = append(out, r)
		}
	}
	return out
}

// setAside takes a run out of the engine's hands: its log cannot be read. The others go on.
func (e *Engine) setAside(id string, why error) {
	e.aside(id, why)
	head, err := e.store.Head(context.Background(), id)
	if err != nil {
		return // it is named in the server's log and in its health, all that is left
	}
	after := head
	after.Active, after.Wake, after.Run.Retrying, after.Run.RetryingCalls = false, 0, nil, 0
	e.retried.note(id, true, false)
	if !after.Run.Status.Ended() {
		after.Run.Status, after.Run.Problem = flawless.Unresolved, why.Error()
	}
	after.Run.Problem = cmp.Or(after.Run.Problem, why.Error())
	if err := e.store.Write(context.Background(), e.lease, store.Write{ID: id, Before: &head, After: &after}); err != nil {
		e.log.Error("a run that was set aside could not be marked", "run", id, "error", err)
	}
}

// takeBack takes a run that was set aside into the engine's hands again, and returns why it was.
func (e *Engine) takeBack(id string) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	why := e.set[id]
	delete(e.set, id)
	return why
}

func (e *Engine) aside(id string, why error) {
	e.log.Error("a run was set aside; the others go on", "run", id, "error", why)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.set[id] = why.Error()
}
