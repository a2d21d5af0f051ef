package engine

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/flawless-engine/flawless"
)

// limits paces the calls towards hosts that have a limit. Who waits is in the logs; what it knows is
// a cache of that.
type limits struct {
	e    *Engine
	any  atomic.Bool // there is a limit at all
	kick chan struct{}

	writing sync.Mutex // held while the store is told of one, so that nothing old is written over it
	mu      sync.Mutex
	all     map[string]*limit
}

// limit is that of one host.
type limit struct {
	flawless.Limit
	kept  int64              // Busy as the store has it: nothing begins beyond, so that no restart forgets it
	order []string           // runs that wait, in the order in which they take turns
	calls map[string][]paced // of these, in the order in which they came
	ends  int64              // the key of none of them is forgotten before; 0 is never
}

// lined is a try on its way to wait for a place towards a server.
type lined struct {
	try
	host, port string
}

// paced is a try that waits for its place. The run is held.
type paced struct {
	r    *run
	t    try
	ends int64 // it repeats a request, and the host may forget the key of that then; 0 is never
}

// reserve is how much of a limit whose calls come more often is kept as used up ahead of them, so that
// not each of them waits for a write. After a crash it is lost.
const reserve = time.Second

func (l *limits) init(e *Engine) { l.e, l.kick, l.all = e, make(chan struct{}, 1), map[string]*limit{} }

func (l *limits) load(ctx context.Context) error {
	all, err := l.e.store.Limits(ctx)
	for _, one := range all {
		l.all[one.Host] = &limit{Limit: one, kept: one.Busy, calls: map[string][]paced{}}
	}
	l.any.Store(len(l.all) > 0)
	return err
}

// of returns the limit for a server, nil where there is none. The caller holds mu.
func (l *limits) of(host, port string) *limit {
	if one := l.all[net.JoinHostPort(host, port)]; one != nil {
		return one
	}
	return l.all[host]
}

// take takes a place for a call, if there is one at once. Who gets none waits, as the text says, and is
// lined up when that is durable.
func (l *limits) take(c *call) (waits string, ok bool) {
	if !l.any.Load() || c.policy.Host == "" {
		return "", true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	one, now := l.of(c.policy.Host, c.policy.Port), l.e.now()
	switch {
	case one == nil:
		return "", true
	case len(one.order) == 0 && one.pass(now):
		if one.want(now) > one.kept {
			poke(l.kick)
		}
		return "", true
	}
	return fmt.Sprintf("for a place under the limit of %s towards %s", one.Rate(), one.Host), false
}

// pass takes a place if there is one and the store has it as taken.
func (one *limit) pass(now int64) bool {
	used := max(one.Busy, now) + int64(one.Interval())
	if one.next() > now || used > one.kept {
		return false
	}
	one.Busy = used
	return true
}

// want is up to when the store should have the limit as used up: for those who wait and for whom there
// are places, and with the reserve.
func (one *limit) want(now int64) int64 {
	waiting := int64(0)
	for _, calls := range one.calls {
		waiting += int64(len(calls))
	}
	interval, used := int64(one.Interval()), max(one.Busy, now)
	often := interval < int64(reserve) && one.Busy > now-int64(reserve)
	if waiting == 0 && !often {
		return one.kept
	}
	free := int64(one.Burst) - (used-now+interval-1)/interval
	used += max(0, min(waiting, free)) * interval
	if interval < int64(reserve) && one.kept-used < int64(reserve/2) {
		used += int64(reserve)
	}
	return used
}

// next is when there is a place.
func (one *limit) next() int64 { return one.Busy - int64(one.Burst-1)*int64(one.Interval()) }

// waiting returns the tries that wait by what is durable. The caller holds mu.
func (r *run) waiting() (out []lined) {
	for _, t := range r.s.waitForPermits() {
		ours := slices.ContainsFunc(r.outbox, func(p pending) bool {
			return slices.ContainsFunc(p.lined, func(w lined) bool { return w.call == t.call })
		})
		if !ours {
			policy := r.s.call(t.call).policy
			out = append(out, lined{t, policy.Host, policy.Port})
		}
	}
	return out
}

// line lets a try wait whose waiting is durable.
func (l *limits) line(r *run, w lined) {
	l.e.hold(r)
	q := paced{r: r, t: w.try}
	r.mu.Lock()
	if c := r.s.calls[w.call]; c != nil {
		q.ends = r.s.keyEnds(c, l.e.now(), r.terms(c))
	}
	r.mu.Unlock()
	l.mu.Lock()
	one := l.of(w.host, w.port)
	if one == nil { // the limit was removed meanwhile
		l.mu.Unlock()
		l.e.tasks.Go(func() { l.grant(nil, q) })
		return
	}
	if q.ends != 0 && (one.ends == 0 || q.ends < one.ends) {
		one.ends = q.ends
	}
	if len(one.calls[r.id]) == 0 {
		one.order = append(one.order, r.id)
	}
	one.calls[r.id] = append(one.calls[r.id], q)
	l.mu.Unlock()
	r.mu.Lock()
	waits := r.s.waitsForPermit(w.call)
	r.mu.Unlock()
	if !waits { // it was withdrawn meanwhile
		l.leave(r, w.call)
	}
	poke(l.kick)
}

// run hands out places when their time comes, until the engine stops.
func (l *limits) run() {
	for {
		wait := time.NewTimer(l.round())
		select {
		case <-l.e.ctx.Done():
			wait.Stop()
			l.release()
			return
		case <-l.kick:
		case <-wait.C:
		}
		wait.Stop()
	}
}

// round hands out the places that there are now, and returns for how long there are no more.
func (l *limits) round() time.Duration {
	now := l.e.now()
	l.keep(now)
	wait := time.Hour
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, one := range l.all {
		for _, q := range one.expired(now) {
			l.e.tasks.Go(func() { l.expire(q) })
		}
		if one.ends != 0 {
			wait = min(wait, time.Duration(one.ends-now))
		}
		for len(one.order) > 0 && one.pass(now) {
			q := one.pop()
			l.e.tasks.Go(func() { l.grant(one, q) })
		}
		switch next := time.Duration(one.next() - now); {
		case len(one.order) == 0:
		case next > 0:
			wait = min(wait, next)
		default: // it could not be written
			wait = min(wait, time.Second)
		}
	}
	return wait
}

// keep writes how far the limits are used up with the places that are about to be handed out.
func (l *limits) keep(now int64) {
	l.writing.Lock()
	defer l.writing.Unlock()
	var all []flawless.Limit
	l.mu.Lock()
	for _, one := range l.all {
		if used := one.want(now); used > one.kept {
			kept := one.Limit
			kept.Busy = used
			all = append(all, kept)
		}
	}
	l.mu.Unlock()
	for _, kept := range all {
		err := l.e.store.PutLimit(l.e.ctx, l.e.lease, kept.Host, &kept)
		if err != nil {
			if l.e.ctx.Err() == nil {
				l.e.log.Warn("how far a limit is used up could not be written, so calls wait", "host", kept.Host, "error", err)
			}
			continue
		}
		l.mu.Lock()
		l.all[kept.Host].kept = kept.Busy
		l.mu.Unlock()
	}
}

// pop takes the next try off the queue: runs take turns.
func (one *limit) pop() paced {
	id := one.order[0]
	one.order = one.order[1:]
	mine := one.calls[id]
	q := mine[0]
	if len(mine) == 1 {
		delete(one.calls, id)
	} else {
		one.calls[id] = mine[1:]
		one.order = append(one.order, id)
	}
	return q
}

// expired takes the tries off the queue whose keys may be forgotten by now. They take no place.
func (one *limit) expired(now int64) (out []paced) {
	if one.ends == 0 || now < one.ends {
		return nil
	}
	one.ends = 0
	for id, mine := range one.calls {
		one.calls[id] = slices.DeleteFunc(mine, func(q paced) bool {
			switch {
			case q.ends == 0:
			case q.ends <= now:
				out = append(out, q)
				return true
			case one.ends == 0 || q.ends < one.ends:
				one.ends = q.ends
			}
			return false
		})
		if len(one.calls[id]) == 0 {
			delete(one.calls, id)
			one.order = slices.DeleteFunc(one.order, func(o string) bool { return o == id })
		}
	}
	return out
}

// expire ends the waiting of a try that must not begin any more, so that nobody hears of that only when its place
// comes. Where the operator has said meanwhile that the key is honoured for longer, it waits on.
func (l *limits) expire(q paced) {
	defer l.e.release(q.r)
	q.r.mu.Lock()
	defer q.r.mu.Unlock()
	c := q.r.s.calls[q.t.call]
	if c == nil || !c.waits || l.e.stopping.Load() {
		return
	}
	now := l.e.now()
	q.r.append(q.r.s.fire(now)...)
	if c = q.r.s.calls[q.t.call]; c != nil && c.waits {
		if entries, _ := q.r.s.recall(q.t, now, q.r.terms(c)); len(entries) > 0 {
			q.r.append(entries...)
		} else {
			l.e.hold(q.r)
			l.e.tasks.Go(func() {
				defer l.e.release(q.r)
				l.line(q.r, lined{q.t, c.policy.Host, c.policy.Port})
			})
		}
	}
	q.r.wakeLocked()
}

// leave takes a call out of the queue that it waits in, if it does. No place is used up for it, and its run
// is not held any longer.
func (l *limits) leave(r *run, call int) {
	if !l.any.Load() {
		return
	}
	l.mu.Lock()
	left := false
	for _, one := range l.all {
		mine := one.calls[r.id]
		i := slices.IndexFunc(mine, func(q paced) bool { return q.r == r && q.t.call == call })
		if i < 0 {
			continue
		}
		left = true
		if mine = slices.Delete(mine, i, i+1); len(mine) > 0 {
			one.calls[r.id] = mine
			continue
		}
		delete(one.calls, r.id)
		one.order = slices.DeleteFunc(one.order, func(id string) bool { return id == r.id })
	}
	l.mu.Unlock()
	if left {
		l.e.release(r)
	}
}

// grant begins a try that has its place. All else that is due comes first, as in state.fire. Where nobody wants
// the try any more the place is given back, and so it is where the guest is behind: the try queues again after
// the next turn.
func (l *limits) grant(one *limit, q paced) {
	defer l.e.release(q.r)
	q.r.mu.Lock()
	defer q.r.mu.Unlock()
	if due := q.r.s.fire(l.e.now()); len(due) > 0 && !l.e.stopping.Load() {
		q.r.append(due...)
		q.r.wakeLocked()
	}
	waits := q.r.s.waitsForPermit(q.t.call)
	behind := waits && q.r.s.behind(l.e.now())
	if behind {
		q.r.parked = append(q.r.parked, q.t)
		q.r.wakeLocked()
	}
	if !waits || behind || l.e.stopping.Load() {
		if one != nil {
			l.mu.Lock()
			one.Busy -= int64(one.Interval())
			l.mu.Unlock()
			poke(l.kick)
		}
		return
	}
	e := q.r.s.begin(q.t.call, l.e.now())
	q.r.outbox = append(q.r.outbox, pending{entry: e, tries: q.r.s.step(e)})
	q.r.wakeLocked()
}

// release lets go of all runs that wait. Their waiting is in their logs.
func (l *limits) release() {
	l.mu.Lock()
	var held []*run
	for _, one := range l.all {
		for len(one.order) > 0 {
			held = append(held, one.pop().r)
		}
	}
	l.mu.Unlock()
	for _, r := range held {
		l.e.release(r)
	}
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
	l := &e.limits
	l.writing.Lock()
	defer l.writing.Unlock()
	busy := func() (used int64) {
		if one := l.all[set.Host]; one != nil {
			used = min(one.Busy, e.now()+int64(set.Interval()))
		}
		return used
	}
	l.mu.Lock()
	set.Busy = busy()
	l.mu.Unlock()
	if err := e.store.PutLimit(ctx, e.lease, set.Host, &set); err != nil {
		return set, err
	}
	kept := set.Busy
	l.mu.Lock()
	set.Busy = busy() // calls have begun meanwhile
	one := l.all[set.Host]
	if one == nil {
		one = &limit{calls: map[string][]paced{}}
		l.all[set.Host] = one
	}
	one.Limit, one.kept = set, kept
	l.any.Store(true)
	l.mu.Unlock()
	poke(l.kick)
	return set, nil
}

// Limits returns all limits, by host, with how many calls wait.
func (e *Engine) Limits(context.Context) ([]flawless.Limit, error) {
	l := &e.limits
	l.mu.Lock()
	defer l.mu.Unlock()
	out := []flawless.Limit{}
	for _, one := range l.all {
		shown := one.Limit
		for _, calls := range one.calls {
			shown.Waiting += len(calls)
		}
		out = append(out, shown)
	}
	slices.SortFunc(out, func(a, b flawless.Limit) int { return cmp.Compare(a.Host, b.Host) })
	return out, nil
}

// RemoveLimit removes the limit of a host, or returns flawless.NotFound. Calls that wait begin at once.
func (e *Engine) RemoveLimit(ctx context.Context, host string) error {
	host = flawless.CanonicalHost(host)
	l := &e.limits
	l.writing.Lock()
	defer l.writing.Unlock()
	l.mu.Lock()
	one := l.all[host]
	l.mu.Unlock()
	if one == nil {
		return fmt.Errorf("there is no limit for host %.200q: %w", host, flawless.NotFound)
	}
	if err := e.store.PutLimit(ctx, e.lease, host, nil); err != nil {
		return err
	}
	l.mu.Lock()
	delete(l.all, host)
	var free []paced
	for len(one.order) > 0 {
		free = append(free, one.pop())
	}
	l.any.Store(len(l.all) > 0)
	l.mu.Unlock()
	for _, q := range free {
		e.tasks.Go(func() { l.grant(nil, q) })
	}
	return nil
}
