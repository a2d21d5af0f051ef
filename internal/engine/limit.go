package engine

import (
	"context"
	"fmt"
	"slices"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/core"
	"github.com/flawless-engine/flawless/internal/ratelimit"
)

// newLimits connects the limits of hosts with this engine.
func (e *Engine) newLimits() *ratelimit.Limits {
	return ratelimit.New(ratelimit.Options{Stored: e.store.Limits, Now: e.now, Go: e.tasks.Go, Log: e.log,
		Put: func(ctx context.Context, host string, l *flawless.Limit) error {
			return e.store.PutLimit(ctx, e.lease, host, l)
		}})
}

// SetLimit keeps a limit, in the place of the one of that host. It takes effect at once, also for the
// calls that wait. A call that has begun is not touched.
func (e *Engine) SetLimit(ctx context.Context, set flawless.Limit) (flawless.Limit, error) {
	if err := set.Check(); err != nil {
		return set, fmt.Errorf("setting a limit: %w", err)
	}
	if err := e.accepts(); err != nil {
		return set, err
	}
	return e.limits.Set(ctx, set)
}

// Limits returns all limits, by host, with how many calls wait.
func (e *Engine) Limits(context.Context) ([]flawless.Limit, error) { return e.limits.List(), nil }

// RemoveLimit removes the limit of a host, or returns flawless.NotFound. Calls that wait begin at once.
func (e *Engine) RemoveLimit(ctx context.Context, host string) error {
	return e.limits.Remove(ctx, host)
}

// lined is a try on its way to wait for a permit towards a server.
type lined struct {
	core.Try
	host, port string
}

// waiting returns the tries that wait by what is durable. The caller holds mu.
func (r *run) waiting() (out []lined) {
	for _, t := range r.s.TriesWaitingForPermits() {
		ours := slices.ContainsFunc(r.outbox, func(p pending) bool {
			return slices.ContainsFunc(p.lined, func(w lined) bool { return w.Call == t.Call })
		})
		if !ours {
			policy := r.s.Call(t.Call).Policy()
			out = append(out, lined{t, policy.Host, policy.Port})
		}
	}
	return out
}

// queue lets a try wait whose waiting is durable.
func (r *run) queue(w lined) {
	t := ratelimit.Try{Run: r, Call: w.Call, N: w.N, Host: w.host, Port: w.port}
	r.mu.Lock()
	if c := r.s.Call(w.Call); c != nil {
		t.Expires = r.s.KeyEnds(c, r.e.now(), r.terms(c))
	}
	r.mu.Unlock()
	r.e.limits.Queue(t)
}

// WaitsForPermit tells whether the next try of a call still waits for its permit.
func (r *run) WaitsForPermit(call int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.s.WaitsForPermit(call)
}

// Begin begins a try that has its permit, and tells whether it used it. All else that is due comes first, as in
// state.fire. Where the guest is behind, the try queues again after the next turn.
func (r *run) Begin(call, n int) bool {
	e := r.e
	r.mu.Lock()
	defer r.mu.Unlock()
	if due := r.s.Fire(e.now()); len(due) > 0 && !e.stopping.Load() {
		r.append(due...)
		r.wakeLocked()
	}
	waits := r.s.WaitsForPermit(call)
	behind := waits && r.s.IsBehind(e.now())
	if behind {
		r.parked = append(r.parked, core.Try{Call: call, N: n})
		r.wakeLocked()
	}
	if !waits || behind || e.stopping.Load() {
		return false
	}
	x := r.s.BeginEntry(call, e.now())
	r.outbox = append(r.outbox, pending{entry: x, tries: r.s.Step(x)})
	r.wakeLocked()
	return true
}

// Expire ends the waiting of a try that must not begin any more, so that nobody hears of that only when its permit
// comes. Where the operator has said meanwhile that the key is honoured for longer, it waits on.
func (r *run) Expire(call, n int) {
	e := r.e
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.s.WaitsForPermit(call) || e.stopping.Load() {
		return
	}
	now := e.now()
	r.append(r.s.Fire(now)...)
	if r.s.WaitsForPermit(call) {
		c := r.s.Call(call)
		if entries, _ := r.s.Recheck(core.Try{Call: call, N: n}, now, r.terms(c)); len(entries) > 0 {
			r.append(entries...)
		} else {
			again := lined{core.Try{Call: call, N: n}, c.Policy().Host, c.Policy().Port}
			e.hold(r)
			e.tasks.Go(func() {
				defer e.release(r)
				r.queue(again)
			})
		}
	}
	r.wakeLocked()
}
