package live

import (
	"slices"

	"github.com/flawless-engine/flawless/internal/core"
	"github.com/flawless-engine/flawless/internal/ratelimit"
)

// queued is an attempt that waits for a permit of a host.
type queued struct {
	core.Attempt
	host, port string
}

func queuedAs(t core.Attempt, c *core.OpenCall) queued {
	return queued{t, c.Policy().Host, c.Policy().Port}
}

// queuedAttempts returns the attempts that, according to the durable log, wait for a permit. The caller holds mu.
func (r *Run) queuedAttempts() (out []queued) {
	for _, t := range r.s.AttemptsWaitingForPermits() {
		inOutbox := slices.ContainsFunc(r.outbox, func(p pending) bool {
			return slices.ContainsFunc(p.queued, func(q queued) bool { return q.Call == t.Call })
		})
		if !inOutbox {
			out = append(out, queuedAs(t, r.s.Call(t.Call)))
		}
	}
	return out
}

// queue makes an attempt wait for a permit. The log already records the wait.
func (r *Run) queue(q queued) {
	t := ratelimit.Attempt{Run: r, Call: q.Call, N: q.N, Host: q.host, Port: q.port}
	r.mu.Lock()
	if c := r.s.Call(q.Call); c != nil {
		t.Expires = r.s.KeyEnds(c, r.reg.o.Now(), r.terms(c))
	}
	r.mu.Unlock()
	r.reg.o.Limits.Queue(t)
}

// requeueBehind queues again the attempts that waited for the turn just taken. The caller holds mu.
func (r *Run) requeueBehind() {
	last := &r.outbox[len(r.outbox)-1]
	for _, t := range r.behind {
		if c := r.s.Call(t.Call); c != nil && c.Waits() {
			last.queued = append(last.queued, queuedAs(t, c))
		}
	}
	r.behind = nil
}

// WaitsForPermit reports whether the next attempt of a call still waits for its permit.
func (r *Run) WaitsForPermit(call int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.s.WaitsForPermit(call)
}

// Begin begins an attempt that got its permit, and reports whether it used the permit. Everything else that is due comes
// first, as in core.State.Fire. If the guest is behind, the attempt queues again after the next turn.
func (r *Run) Begin(call, n int) bool {
	life := r.part.life
	r.mu.Lock()
	defer r.mu.Unlock()
	if due := r.s.Fire(r.reg.o.Now()); len(due) > 0 && !life.Stopping() {
		r.append(due...)
		r.wakeLocked()
	}
	waits := r.s.WaitsForPermit(call)
	behind := waits && r.s.IsBehind(r.reg.o.Now())
	if behind {
		r.behind = append(r.behind, core.Attempt{Call: call, N: n})
		r.wakeLocked()
	}
	if !waits || behind || life.Stopping() {
		return false
	}
	x := r.s.BeginEntry(call, r.reg.o.Now())
	r.outbox = append(r.outbox, pending{entry: x, attempts: r.s.Step(x)})
	r.wakeLocked()
	return true
}

// Expire ends the wait of an attempt that must not begin any more, so that its call need not wait for the permit to learn
// this. If the operator has extended the key's window in the meantime, the attempt keeps waiting.
func (r *Run) Expire(call, n int) {
	if again, waits := r.expire(call, n); waits {
		r.queue(again)
	}
}

// expire is Expire. It returns the attempt if that keeps waiting.
func (r *Run) expire(call, n int) (again queued, waits bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.s.WaitsForPermit(call) || r.part.life.Stopping() {
		return queued{}, false
	}
	defer r.wakeLocked()
	now := r.reg.o.Now()
	r.append(r.s.Fire(now)...)
	if !r.s.WaitsForPermit(call) {
		return queued{}, false
	}
	c, t := r.s.Call(call), core.Attempt{Call: call, N: n}
	if entries, _ := r.s.Recheck(t, now, r.terms(c)); len(entries) > 0 {
		r.append(entries...)
		return queued{}, false
	}
	return queuedAs(t, c), true
}
