package ratelimit

import (
	"context"
	"errors"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/task"
)

// share is what one server has of a limit. All servers together have the limit's time from its first use on, of which each
// call takes one interval: calls of all servers are as far apart as the limit says if none takes what another one has. A
// server reserves spans of this time by moving Busy in the store, before it begins a call in them. What it does not use in
// time is lost, as is what it has when it crashes: the rate is never exceeded.
//
// A call may begin up to Burst-1 intervals before the interval that it takes, and a moment late (grace): timers fire late, and
// the write that reserves takes a while.
type share struct {
	used  int64  // time up to which calls of this server have taken their intervals
	spans []span // reserved and not used up, in order
	slice int64  // how much is reserved ahead; 0 is the least

	late   int64 // how long a write took lately
	mine   bool  // this server was the last one to reserve, as far as it knows
	rivals int64 // when another server was faster to reserve
}

// span is a part of a limit's time.
type span struct{ from, to int64 }

const (
	// ahead is how far a server that is alone reserves frequent calls, so that they do not each wait for a write.
	ahead = int64(time.Second)
	// least is how far it does so beside others, so that they take turns.
	least = int64(100 * time.Millisecond)
	// maxDelay is how much later than a write has ended its permits are still all valid. Without it, a call that begins
	// a microsecond after its reservation would lose it, and wait for the next one, which may be an hour away.
	maxDelay = int64(time.Second)
)

// grace is how late a call may begin: a fraction of the interval, so that a permit is not lost for a moment's delay.
func (one *limit) grace() int64 {
	interval := int64(one.Interval())
	return max(min(interval, int64(20*time.Millisecond)), min(interval/10, int64(10*time.Second)))
}

// first returns the time of the next permit that is reserved, if there is one. A span that is used up stays until its time is
// over: a call that has its permit may give it back, see Limits.grant.
func (one *limit) first(now int64) (at int64, ok bool) {
	interval, soonest := int64(one.Interval()), now-one.grace()
	for len(one.spans) > 0 && max(one.spans[0].from, soonest)+interval > one.spans[0].to {
		one.spans = one.spans[1:]
	}
	for _, s := range one.spans {
		if at = max(s.from, one.used, soonest); at+interval <= s.to {
			return at, true
		}
	}
	return 0, false
}

// opens returns when a call that takes the interval from at may begin.
func (one *limit) opens(at int64) int64 { return at - int64(one.Burst-1)*int64(one.Interval()) }

// pass takes a permit if one is reserved and may be used.
func (one *limit) pass(now int64) bool {
	at, ok := one.first(now)
	if !ok || one.opens(at) > now {
		return false
	}
	one.used = at + int64(one.Interval())
	return true
}

// has returns how much reserved time is left.
func (one *limit) has(now int64) (left int64) {
	for _, s := range one.spans {
		left += max(0, s.to-max(s.from, one.used, now-one.grace()))
	}
	return left
}

// waiting returns the number of attempts that wait.
func (one *limit) waiting() (n int64) {
	for _, calls := range one.calls {
		n += int64(len(calls))
	}
	return n
}

// frequent reports whether a limit allows several calls a second: these are reserved ahead.
func (one *limit) frequent() bool { return int64(one.Interval()) < ahead }

// contested reports whether other servers use the limit as well. Then each reserves at least one call ahead: if they all
// waited for the moment of the next permit, the one with the fastest connection to the store would get it each time.
func (one *limit) contested(now int64) bool {
	return one.rivals != 0 && one.rivals > now-10*int64(one.Interval())
}

// wants returns what to reserve: permits that attempts which wait can use at once, and a slice ahead if the limit is used
// often. The caller holds mu.
func (l *Limits) wants(one *limit, now int64) (s span, ok bool) {
	waiting, interval := one.waiting(), int64(one.Interval())
	if waiting == 0 && (!one.frequent() || one.used <= now-ahead) {
		return s, false
	}
	s.from = max(one.Busy, now)
	next := max(one.used, now)
	if at, ok := one.first(now); ok { // it also removes what cannot be used any more
		next = at
	}
	left := one.has(now)
	count := func(at int64) int64 { return max(0, int64(one.Burst)-(at-now+interval-1)/interval) } // permits from at on that may be used now
	n := max(0, min(waiting-left/interval, count(s.from)))
	length := n * interval
	if one.frequent() || one.contested(now) {
		slice := max(1, l.slice(one)/interval) * interval
		if rest := left + length - min(waiting, count(next))*interval; rest < slice/2+2*one.late {
			length += slice
		}
	}
	s.to = s.from + length
	if length > 0 && one.Busy <= now { // it is not used before the write has ended
		s.to += one.late
	}
	return s, length > 0
}

// slice returns how much to reserve ahead.
func (l *Limits) slice(one *limit) int64 {
	if !l.o.Shared {
		return ahead
	}
	return max(one.slice, least)
}

// turn returns when the next attempt that waits can begin, or a permit can be reserved for it. The caller holds mu.
func (l *Limits) turn(one *limit, now int64) int64 {
	if at, ok := one.first(now); ok {
		return one.opens(at)
	}
	return one.opens(max(one.Busy, now))
}

// won notes that a span was reserved, with a write that took until now.
func (one *limit) won(s span, now int64) {
	late := max(0, now-s.from)
	one.late = max(late, one.late-one.late/8)
	if interval := int64(one.Interval()); late <= interval && late+interval > s.to-s.from {
		s.to += late // the write took longer than others: one call begins later than its time
	}
	s.to += min(int64(one.Interval())/2, maxDelay) // too little for one more call
	if n := len(one.spans); n > 0 && one.spans[n-1].to == s.from {
		one.spans[n-1].to = s.to
	} else {
		one.spans = append(one.spans, s)
	}
	if one.mine {
		one.slice = min(2*max(one.slice, least), ahead)
	}
	one.mine = true
}

// lost notes that another server has used the limit.
func (one *limit) lost(now int64) { one.mine, one.slice, one.rivals = false, least, now }

// serveStore reserves permits until ctx ends. It does so beside the granting of those that are reserved, because a write may
// take longer than a permit lasts.
func (l *Limits) serveStore(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.ask:
		}
		ok := l.reserve(ctx)
		task.Poke(l.kick)
		if ok {
			continue
		}
		wait := time.NewTimer(time.Second)
		select {
		case <-ctx.Done():
		case <-wait.C:
			task.Poke(l.ask)
		}
		wait.Stop()
	}
}

// reserve writes the permits that are about to be used. It returns false if that failed for one of them.
func (l *Limits) reserve(ctx context.Context) (ok bool) {
	l.writing.Lock()
	defer l.writing.Unlock()
	ok = true
	for _, host := range l.wanted() {
		if err := l.reserveOf(ctx, host); err != nil && ctx.Err() == nil {
			ok = false
			l.o.Log.Warn("writing the state of a rate limit failed, calls wait", "host", host, "error", err)
		}
	}
	return ok
}

// wanted returns the hosts for which permits are to be reserved.
func (l *Limits) wanted() (hosts []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for host, one := range l.all {
		if _, wants := l.wants(one, l.o.Now()); wants {
			hosts = append(hosts, host)
		}
	}
	return hosts
}

// reserveOf writes the permits of one host. The caller holds writing.
func (l *Limits) reserveOf(ctx context.Context, host string) error {
	for {
		l.mu.Lock()
		one := l.all[host]
		if one == nil {
			l.mu.Unlock()
			return nil
		}
		s, wants := l.wants(one, l.o.Now())
		before := one.Limit
		l.mu.Unlock()
		if !wants {
			return nil
		}
		after := before
		after.Busy = s.to
		err := l.o.Store.Put(ctx, host, &before, &after)
		if errors.Is(err, flawless.Conflict) { // another server was faster: what it has reserved comes first
			if err = l.reread(ctx, host); err == nil {
				continue
			}
		}
		if err != nil {
			return err
		}
		l.mu.Lock()
		if l.all[host] == one {
			one.Limit = after
			one.won(s, l.o.Now())
		}
		l.mu.Unlock()
		return nil
	}
}
