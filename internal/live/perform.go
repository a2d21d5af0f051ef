package live

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/flawless-engine/flawless/internal/core"
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/ring"
	"github.com/flawless-engine/flawless/internal/store"
)

// flights tracks the calls of a run that are in flight. Guarded by mu.
type flights struct {
	inFlight map[int]context.CancelCauseFunc // by call: cancels its exchange
	behind   []core.Attempt                  // got a permit while the guest was behind
}

// begun is an attempt whose beginning is durable.
type begun struct {
	core.Attempt
	at store.Position // of the write that made it so
}

// startAttempt carries out an attempt and its consequences in a new goroutine.
func (r *Run) startAttempt(t begun) {
	r.Retain()
	r.part.tasks.Go(func() { r.carryOn(&t) })
}

// handOff starts a goroutine for the remaining attempt, if any. The run is retained for it.
func (r *Run) handOff(left *begun) {
	if left != nil {
		r.part.tasks.Go(func() { r.carryOn(left) })
	}
}

// carryOn carries out the attempt that drive left, and drives the run again if it has no driver, until no attempt is left.
func (r *Run) carryOn(left *begun) {
	for left != nil {
		next := r.attempt(*left)
		r.Release()
		left = next
	}
}

// attempt carries out an attempt and appends the entries for its result. If the run has no driver, attempt drives it, and
// returns the attempt that drive left.
func (r *Run) attempt(t begun) (left *begun) {
	owns := r.reg.o.Lease.Await(r.part.life.Calls, r.part.shard) // no call begins while others may call this node dead
	r.mu.Lock()
	c := r.s.Call(t.Call)
	if c == nil || c.Attempts() != t.N || r.part.life.Over() || !owns {
		r.notBegun(t.Attempt)
		r.mu.Unlock()
		return nil
	}
	var outcome *Outcome
	entries, within := r.s.Recheck(t.Attempt, r.reg.o.Now(), r.terms(c))
	if entries == nil {
		o, ok := r.exchange(c, t, within)
		if !ok {
			return nil
		}
		r.mu.Lock()
		entries = r.s.Result(t.Attempt, o.Result, r.reg.o.Now(), r.terms(c))
		if r.reg.o.Late != nil && !c.Policy().Idempotent {
			outcome = &o
		}
	}
	if len(entries) == 0 {
		r.mu.Unlock()
		return nil
	}
	at := len(r.outbox)
	r.append(entries...)
	r.outbox[at].outcome = outcome
	if r.driving {
		r.wakeLocked()
		r.mu.Unlock()
		return nil
	}
	r.driving = true
	r.mu.Unlock()
	return r.drive()
}

// terms returns the terms that the operator and the module set for a call. The caller holds mu.
func (r *Run) terms(c *core.OpenCall) core.Terms {
	start := r.s.Start()
	return r.reg.o.Policy.Terms(start.Module, start.Digest, c.Policy())
}

// exchange carries out an attempt, and returns false if the engine was killed or the shard lost in the meantime: to the next
// owner of the store the outcome is unknown. When the shard is lost, a call that the next owner may repeat is cut off, so
// that it has no effect after the repetition; others run on, since nobody repeats them, and their outcomes are handed over
// for the next owner. The caller holds mu, which exchange releases.
func (r *Run) exchange(c *core.OpenCall, t begun, within time.Duration) (Outcome, bool) {
	g, start := r.reg, r.s.Start()
	kind, job := c.Effect(), effect.Attempt{Run: r.id, Call: c.Call, N: t.N, Seed: start.Seed, Policy: c.Policy(), Within: within, Past: r.s.PastCalls()}
	if origin := start.Origin; origin != nil {
		job.Of = origin.Of
	}
	lapsed := new(atomic.Bool)
	job.Sending = r.sending(t, job.Policy, start.Module, start.Workflow, lapsed)
	ctx, stop := context.WithCancelCause(g.o.Lifecycle.Sends)
	endWatch := func() (lost bool) { return false }
	switch {
	case job.Policy.Idempotent:
		defer context.AfterFunc(r.part.life.Calls, func() {
			if g.o.Lifecycle.Sends.Err() == nil {
				stop(effect.ErrCutOff)
			}
		})()
	case g.o.Late != nil:
		p := r.watch(stop)
		endWatch = func() bool { return r.endWatch(p) }
	}
	if r.inFlight == nil {
		r.inFlight = map[int]context.CancelCauseFunc{}
	}
	r.inFlight[t.Call] = stop
	r.mu.Unlock()
	g.counts.begun.Add(1)
	result := g.perform(ctx, kind, job)
	g.counts.attempted(result.Outcome)
	stop(nil)
	r.mu.Lock()
	delete(r.inFlight, t.Call)
	r.mu.Unlock()
	o := Outcome{r.id, t.Attempt, result, lapsed.Load()}
	switch lost := endWatch(); {
	case lost && g.o.Lifecycle.Sends.Err() == nil:
		g.o.Late.Put(&o)
	case lost:
		g.o.Late.Put(nil)
	case !job.Policy.Idempotent: // the shard may have been lost just now
		r.handOver([]pending{{outcome: &o}})
	}
	return o, !r.part.life.Over()
}

// errLapsed is why something is not sent by a server whose lease has ended.
var errLapsed = errors.New("this server's lease had ended before it was sent")

// sending returns the function that is asked before each write of an attempt. It remembers a call that must not be
// repeated right before its first byte: the write on which it depends may get lost. lapsed is set if it refuses.
func (r *Run) sending(t begun, p effect.Policy, module, workflow string, lapsed *atomic.Bool) func(first bool) error {
	g := r.reg
	return func(first bool) error {
		if (first || p.Idempotent) && !g.o.Lease.Owns(r.part.shard) {
			lapsed.Store(true)
			return errLapsed
		}
		if first && !p.Idempotent && t.at.N != 0 && g.o.Ring != nil {
			g.o.Ring.Put(ring.Entry{Lane: t.at.Lane, N: t.at.N, Run: r.id, Call: t.Call, Module: module, Workflow: workflow, Request: p.Title})
		}
		return nil
	}
}

// CutOff cuts off all calls in flight that the next owner of their shards may repeat. It is called when the lease of this
// server has ended and nobody is known to have taken over: the shards stay, and if the lease is renewed, the calls are
// repeated here.
func (g *Registry) CutOff() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, r := range g.runs {
		r.mu.Lock()
		for call, stop := range r.inFlight {
			if c := r.s.Call(call); c != nil && c.Policy().Idempotent {
				stop(effect.ErrCutOff)
			}
		}
		r.mu.Unlock()
	}
}

// perform carries out an attempt, and turns a panic of its kind into an unknown outcome.
func (g *Registry) perform(ctx context.Context, kind *effect.Kind, t effect.Attempt) (res effect.Result) {
	defer func() {
		if p := recover(); p != nil {
			g.o.Log.Error("performing a call panicked", "run", t.Run, "call", t.Call.N, "panic", p)
			text := fmt.Sprintf("the engine failed while it performed the call: %v", p)
			res = effect.Result{Outcome: effect.Unknown, Text: text, Answer: effect.UnknownAnswer(t.Run, t.Call, t.Policy.Idempotent, text, "", 0)}
		}
	}()
	return kind.Perform(ctx, t)
}

var errAbandoned = errors.New("its outcome is no longer needed")

// endWithdrawn removes withdrawn calls from the queue of their rate limit and cancels their exchanges, once the withdrawal
// is durable.
func (r *Run) endWithdrawn(batch []pending) {
	for _, p := range batch {
		if p.entry.Arrival == nil || !effect.IsWithdrawn(p.entry.Arrival.Answer) {
			continue
		}
		r.reg.o.Limits.Leave(r, p.entry.Arrival.Call)
		r.mu.Lock()
		stop := r.inFlight[p.entry.Arrival.Call]
		r.mu.Unlock()
		if stop != nil {
			stop(errAbandoned)
		}
	}
}
