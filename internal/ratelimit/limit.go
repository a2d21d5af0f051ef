package ratelimit

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/task"
)

// Run is a run with waiting attempts. It stays in memory from Retain to Release.
type Run interface {
	ID() string
	// WaitsForPermit reports whether the next attempt of a call still waits for its permit.
	WaitsForPermit(call int) bool
	// Begin begins an attempt that has its permit. It returns false if the permit is not used, because the attempt was
	// withdrawn or has to queue again.
	Begin(call, n int) bool
	// Expire ends the wait of an attempt that must not begin any more. If it may begin again by now, Expire queues it.
	Expire(call, n int)
	Retain()
	Release()
}

// Attempt is an attempt that waits for a permit.
type Attempt struct {
	Run        Run
	Call, N    int
	Host, Port string
	// Expires is when the attempt must no longer begin, 0 is never: a repetition is safe only while the host remembers
	// the idempotency key.
	Expires int64
}

// Options configures Limits.
type Options struct {
	Put    func(ctx context.Context, host string, l *flawless.Limit) error // nil removes it
	Now    func() int64                                                    // Unix nanoseconds
	Go     func(f func())                                                  // runs f in a goroutine of the engine
	Log    *slog.Logger
	Accept func() error // returns nil if new limits are accepted
}

// Limits limits the rate of calls to hosts. All methods may be called concurrently.
type Limits struct {
	o    Options
	any  atomic.Bool // whether there is any limit
	kick chan struct{}

	writing sync.Mutex // held during a write, so that an older value never overwrites a newer one
	mu      sync.Mutex // guards all
	all     map[string]*limit
}

// New returns Limits without any limit. Call Load before any attempt begins.
func New(o Options) *Limits {
	return &Limits{o: o, kick: make(chan struct{}, 1), all: map[string]*limit{}}
}

// limit is the rate limit of one host.
type limit struct {
	flawless.Limit
	kept  int64                // Busy as stored. No attempt begins beyond it, so a restart cannot forget it
	order []string             // waiting runs in the order of their turns
	calls map[string][]Attempt // waiting attempts of each run, oldest first
	ends  int64                // no key expires before this time; 0 is never
}

// reserve is how far ahead a limit is recorded as used, so that frequent calls do not each wait for a write. A crash
// loses the reserved permits.
const reserve = time.Second

// Load adds limits as the store has them.
func (l *Limits) Load(stored []flawless.Limit) {
	l.writing.Lock()
	defer l.writing.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, one := range stored {
		if l.all[one.Host] == nil {
			l.all[one.Host] = &limit{Limit: one, kept: one.Busy, calls: map[string][]Attempt{}}
		}
	}
	l.any.Store(len(l.all) > 0)
}

// Abandon removes the attempts of runs that another server makes from now on, and the limits of hosts that it enforces. The
// other attempts that wait under these begin at once.
func (l *Limits) Abandon(run func(id string) bool, limited func(host string) bool) {
	l.writing.Lock()
	defer l.writing.Unlock()
	var released []Run
	l.mu.Lock()
	for host, one := range l.all {
		for id, mine := range one.calls {
			if !run(id) {
				continue
			}
			for _, q := range mine {
				released = append(released, q.Run)
			}
			delete(one.calls, id)
			one.order = slices.DeleteFunc(one.order, func(o string) bool { return o == id })
		}
		if limited(host) {
			l.forget(host, one)
		}
	}
	l.mu.Unlock()
	for _, r := range released {
		r.Release()
	}
}

// forget removes a limit. Waiting attempts begin at once. The caller holds writing and mu.
func (l *Limits) forget(host string, one *limit) {
	delete(l.all, host)
	for len(one.order) > 0 {
		q := one.pop()
		l.o.Go(func() { l.grant(nil, q) })
	}
	l.any.Store(len(l.all) > 0)
}

// of returns the limit for a server, or nil. The caller holds mu.
func (l *Limits) of(host, port string) *limit {
	if one := l.all[net.JoinHostPort(host, port)]; one != nil {
		return one
	}
	return l.all[host]
}

// Take takes a permit for an attempt if one is available. Otherwise the attempt has to wait, for the reason in waits;
// call Queue when the wait is durable.
func (l *Limits) Take(host, port string) (waits string, ok bool) {
	if !l.any.Load() || host == "" {
		return "", true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	one, now := l.of(host, port), l.o.Now()
	switch {
	case one == nil:
		return "", true
	case len(one.order) == 0 && one.pass(now):
		if one.want(now) > one.kept {
			task.Poke(l.kick)
		}
		return "", true
	}
	return fmt.Sprintf("for a permit under the limit of %s for %s", one.Rate(), one.Host), false
}

// pass takes a permit if one is available and recorded as used.
func (one *limit) pass(now int64) bool {
	used := max(one.Busy, now) + int64(one.Interval())
	if one.next() > now || used > one.kept {
		return false
	}
	one.Busy = used
	return true
}

// want returns the time up to which the store should record the limit as used: the permits available to waiting
// attempts, plus the reserve.
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

// next returns when the next permit is available.
func (one *limit) next() int64 { return one.Busy - int64(one.Burst-1)*int64(one.Interval()) }

// Queue adds an attempt whose wait is durable.
func (l *Limits) Queue(t Attempt) {
	t.Run.Retain()
	id := t.Run.ID()
	l.mu.Lock()
	one := l.of(t.Host, t.Port)
	if one == nil { // the limit was removed in the meantime
		l.mu.Unlock()
		l.o.Go(func() { l.grant(nil, t) })
		return
	}
	if t.Expires != 0 && (one.ends == 0 || t.Expires < one.ends) {
		one.ends = t.Expires
	}
	if len(one.calls[id]) == 0 {
		one.order = append(one.order, id)
	}
	one.calls[id] = append(one.calls[id], t)
	l.mu.Unlock()
	if !t.Run.WaitsForPermit(t.Call) { // it was withdrawn in the meantime
		l.Leave(t.Run, t.Call)
	}
	task.Poke(l.kick)
}

// Serve grants permits when they become available, until ctx ends. Then it releases all waiting runs, whose logs
// record the wait.
func (l *Limits) Serve(ctx context.Context) {
	for {
		wait := time.NewTimer(l.round(ctx))
		select {
		case <-ctx.Done():
			wait.Stop()
			l.release()
			return
		case <-l.kick:
		case <-wait.C:
		}
		wait.Stop()
	}
}

// round grants the available permits and returns how long until the next one.
func (l *Limits) round(ctx context.Context) time.Duration {
	now := l.o.Now()
	l.keep(ctx, now)
	wait := time.Hour
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, one := range l.all {
		for _, q := range one.expired(now) {
			l.o.Go(func() { l.expire(q) })
		}
		if one.ends != 0 {
			wait = min(wait, time.Duration(one.ends-now))
		}
		for len(one.order) > 0 && one.pass(now) {
			q := one.pop()
			l.o.Go(func() { l.grant(one, q) })
		}
		switch next := time.Duration(one.next() - now); {
		case len(one.order) == 0:
		case next > 0:
			wait = min(wait, next)
		default: // the write failed
			wait = min(wait, time.Second)
		}
	}
	return wait
}

// keep records the permits that are about to be granted.
func (l *Limits) keep(ctx context.Context, now int64) {
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
		err := l.o.Put(ctx, kept.Host, &kept)
		if err != nil {
			if ctx.Err() == nil {
				l.o.Log.Warn("writing the state of a rate limit failed, calls wait", "host", kept.Host, "error", err)
			}
			continue
		}
		l.mu.Lock()
		l.all[kept.Host].kept = kept.Busy
		l.mu.Unlock()
	}
}

// pop removes the next attempt from the queue. Runs take turns.
func (one *limit) pop() Attempt {
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

// expired removes the attempts whose keys may have expired. They use no permit.
func (one *limit) expired(now int64) (out []Attempt) {
	if one.ends == 0 || now < one.ends {
		return nil
	}
	one.ends = 0
	for id, mine := range one.calls {
		one.calls[id] = slices.DeleteFunc(mine, func(q Attempt) bool {
			switch {
			case q.Expires == 0:
			case q.Expires <= now:
				out = append(out, q)
				return true
			case one.ends == 0 || q.Expires < one.ends:
				one.ends = q.Expires
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

func (l *Limits) expire(t Attempt) {
	defer t.Run.Release()
	t.Run.Expire(t.Call, t.N)
}

// Leave removes a call from the queue, if it waits. It uses no permit.
func (l *Limits) Leave(r Run, call int) {
	if !l.any.Load() {
		return
	}
	l.mu.Lock()
	left := false
	for _, one := range l.all {
		mine := one.calls[r.ID()]
		i := slices.IndexFunc(mine, func(q Attempt) bool { return q.Run == r && q.Call == call })
		if i < 0 {
			continue
		}
		left = true
		if mine = slices.Delete(mine, i, i+1); len(mine) > 0 {
			one.calls[r.ID()] = mine
			continue
		}
		delete(one.calls, r.ID())
		one.order = slices.DeleteFunc(one.order, func(id string) bool { return id == r.ID() })
	}
	l.mu.Unlock()
	if left {
		r.Release()
	}
}

// grant begins an attempt that has its permit, and returns the permit if the attempt does not use it.
func (l *Limits) grant(one *limit, t Attempt) {
	defer t.Run.Release()
	if t.Run.Begin(t.Call, t.N) || one == nil {
		return
	}
	l.mu.Lock()
	one.Busy -= int64(one.Interval())
	l.mu.Unlock()
	task.Poke(l.kick)
}

// release releases all waiting runs.
func (l *Limits) release() {
	l.mu.Lock()
	var retained []Run
	for _, one := range l.all {
		for len(one.order) > 0 {
			retained = append(retained, one.pop().Run)
		}
	}
	l.mu.Unlock()
	for _, r := range retained {
		r.Release()
	}
}

// Set adds or replaces the limit of a host. It applies at once, also to waiting calls, but not to calls that have
// begun.
func (l *Limits) Set(ctx context.Context, set flawless.Limit) (flawless.Limit, error) {
	if err := set.Check(); err != nil {
		return set, fmt.Errorf("setting a limit: %w", err)
	}
	if err := l.o.Accept(); err != nil {
		return set, err
	}
	l.writing.Lock()
	defer l.writing.Unlock()
	busy := func() (used int64) {
		if one := l.all[set.Host]; one != nil {
			used = min(one.Busy, l.o.Now()+int64(set.Interval()))
		}
		return used
	}
	l.mu.Lock()
	set.Busy = busy()
	l.mu.Unlock()
	if err := l.o.Put(ctx, set.Host, &set); err != nil {
		return set, err
	}
	kept := set.Busy
	l.mu.Lock()
	set.Busy = busy() // calls have begun in the meantime
	one := l.all[set.Host]
	if one == nil {
		one = &limit{calls: map[string][]Attempt{}}
		l.all[set.Host] = one
	}
	one.Limit, one.kept = set, kept
	l.any.Store(true)
	l.mu.Unlock()
	task.Poke(l.kick)
	return set, nil
}

// List returns all limits, sorted by host, with the number of waiting calls.
func (l *Limits) List() []flawless.Limit {
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
	return out
}

// Remove removes the limit of a host, or returns flawless.NotFound. Waiting calls begin at once.
func (l *Limits) Remove(ctx context.Context, host string) error {
	host = flawless.CanonicalHost(host)
	l.writing.Lock()
	defer l.writing.Unlock()
	l.mu.Lock()
	one := l.all[host]
	l.mu.Unlock()
	if one == nil {
		return fmt.Errorf("there is no limit for host %.200q: %w", host, flawless.NotFound)
	}
	if err := l.o.Put(ctx, host, nil); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forget(host, one)
	return nil
}

// Has reports whether a server has a limit.
func (l *Limits) Has(host, port string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.of(host, port) != nil
}
