package ratelimit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
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
	Store  Store
	Shared bool           // other servers use the limits, too
	Now    func() int64   // Unix nanoseconds
	Go     func(f func()) // runs f in a goroutine of the engine
	Log    *slog.Logger
	Accept func() error // returns nil if new limits are accepted
}

// Store has the limits of all servers.
type Store interface {
	// Put stores the limit of a host in place of before, which is nil if there was none; a nil after removes it. It returns
	// flawless.Conflict if the store has another one.
	Put(ctx context.Context, host string, before, after *flawless.Limit) error
	// Get returns the limit of a host, or flawless.NotFound.
	Get(ctx context.Context, host string) (flawless.Limit, error)
	All(ctx context.Context) ([]flawless.Limit, error)
}

// Limits limits the rate of calls to hosts. All methods may be called concurrently.
type Limits struct {
	o    Options
	any  atomic.Bool   // whether there is any limit
	kick chan struct{} // to grant
	ask  chan struct{} // to reserve

	writing sync.Mutex // held during a write, so that an older value never overwrites a newer one
	mu      sync.Mutex // guards all
	all     map[string]*limit
}

// New returns Limits without any limit. Call Load before any attempt begins.
func New(o Options) *Limits {
	return &Limits{o: o, kick: make(chan struct{}, 1), ask: make(chan struct{}, 1), all: map[string]*limit{}}
}

// limit is the rate limit of one host, as the store has it, and the attempts of this server that wait under it.
type limit struct {
	flawless.Limit
	share                      // of this server
	order []string             // waiting runs in the order of their turns
	calls map[string][]Attempt // waiting attempts of each run, oldest first
	ends  int64                // no key expires before this time; 0 is never
}

// newLimit returns a limit of which this server has no share.
func newLimit(l flawless.Limit) *limit {
	return &limit{Limit: l, calls: map[string][]Attempt{}}
}

// adopt takes over what the store has.
func (one *limit) adopt(stored flawless.Limit) {
	if !one.Equals(stored) {
		one.spans, one.used = nil, 0 // the new limit does not count them
	}
	one.Limit = stored
}

// Load replaces the limits by those that the store has. Call it before any attempt begins, and when another server has
// changed them. Attempts that wait under a limit that is gone begin at once.
func (l *Limits) Load(ctx context.Context) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	stored, err := l.o.Store.All(ctx)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	gone := maps.Clone(l.all)
	for _, s := range stored {
		delete(gone, s.Host)
		if one := l.all[s.Host]; one != nil {
			one.adopt(s)
		} else {
			l.all[s.Host] = newLimit(s)
		}
	}
	for host, one := range gone {
		l.forget(host, one)
	}
	l.any.Store(len(l.all) > 0)
	task.Poke(l.kick)
	return nil
}

// Abandon removes the attempts of runs that another server makes from now on.
func (l *Limits) Abandon(run func(id string) bool) {
	l.writing.Lock()
	defer l.writing.Unlock()
	var released []Run
	l.mu.Lock()
	for _, one := range l.all {
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
		if _, wants := l.wants(one, now); wants {
			task.Poke(l.ask)
		}
		return "", true
	}
	return fmt.Sprintf("for a permit under the limit of %s for %s", one.Rate(), one.Host), false
}

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
	var store sync.WaitGroup
	defer store.Wait()
	store.Go(func() { l.serveStore(ctx) })
	for {
		wait := time.NewTimer(l.round())
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
func (l *Limits) round() time.Duration {
	now := l.o.Now()
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
		if _, wants := l.wants(one, now); wants {
			task.Poke(l.ask) // and that wakes this again
		}
		if len(one.order) == 0 {
			continue
		}
		if next := time.Duration(l.turn(one, now) - now); next > 0 {
			wait = min(wait, next)
		}
	}
	return wait
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
	one.used -= int64(one.Interval())
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
	for {
		before := l.stored(set.Host)
		set.Busy = 0
		if before != nil {
			set.Busy = before.Busy
			if !before.Equals(set) { // what was reserved counts under the old limit
				set.Busy = min(before.Busy, l.o.Now()+int64(set.Interval()))
			}
		}
		err := l.o.Store.Put(ctx, set.Host, before, &set)
		if errors.Is(err, flawless.Conflict) { // another server has used or changed it
			err = l.reread(ctx, set.Host)
			if err == nil {
				continue
			}
		}
		if err != nil {
			return set, err
		}
		break
	}
	l.mu.Lock()
	one := l.all[set.Host]
	if one == nil {
		one = newLimit(set)
		l.all[set.Host] = one
	}
	one.adopt(set)
	l.any.Store(true)
	l.mu.Unlock()
	task.Poke(l.kick)
	return set, nil
}

// stored returns the limit of a host as the store has it, as far as is known here, or nil.
func (l *Limits) stored(host string) *flawless.Limit {
	l.mu.Lock()
	defer l.mu.Unlock()
	one := l.all[host]
	if one == nil {
		return nil
	}
	stored := one.Limit
	return &stored
}

// reread takes over the limit of a host from the store. The caller holds writing.
func (l *Limits) reread(ctx context.Context, host string) error {
	stored, err := l.o.Store.Get(ctx, host)
	if err != nil && !errors.Is(err, flawless.NotFound) {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	one := l.all[host]
	switch {
	case err != nil && one != nil:
		l.forget(host, one)
	case err != nil:
	case one == nil:
		l.all[host] = newLimit(stored)
		l.any.Store(true)
	default:
		one.adopt(stored)
		one.lost(l.o.Now())
	}
	return nil
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

// Remove removes the limit of a host, or returns flawless.NotFound. Waiting calls begin at once; those of other servers when
// they learn of it.
func (l *Limits) Remove(ctx context.Context, host string) error {
	host = flawless.CanonicalHost(host)
	l.writing.Lock()
	defer l.writing.Unlock()
	for {
		before := l.stored(host)
		if before == nil && l.o.Shared { // another server may have set it a moment ago
			if err := l.reread(ctx, host); err != nil {
				return err
			}
			before = l.stored(host)
		}
		if before == nil {
			return fmt.Errorf("there is no limit for host %.200q: %w", host, flawless.NotFound)
		}
		err := l.o.Store.Put(ctx, host, before, nil)
		if errors.Is(err, flawless.Conflict) {
			if err = l.reread(ctx, host); err == nil {
				continue
			}
		}
		if err != nil {
			return err
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.forget(host, l.all[host])
		return nil
	}
}

// Has reports whether a server has a limit.
func (l *Limits) Has(host, port string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.of(host, port) != nil
}
