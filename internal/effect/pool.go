package effect

import (
	"context"
	"io"
	"slices"
	"sync"
	"time"
)

const (
	// keepIdle is how long a connection without a request is kept.
	keepIdle = 90 * time.Second
	// trustIdle is how long an idle connection is good enough for a request that must not be sent
	// twice. Servers close idle connections after five seconds and more; a request that crosses
	// with the close would be lost without anybody knowing.
	trustIdle = 2 * time.Second
	// mostShared is how many idle HTTP/2 connections are kept for one server.
	mostShared = 4
)

// pool keeps connections open between exchanges.
type pool struct {
	most int
	dial func(context.Context, key) (link, *fault)
	// scarce tells whether somebody waits for a connection that nobody uses; nil is never.
	scarce func() bool

	mu     sync.Mutex
	hosts  map[key]*host
	idle   int // HTTP/1 connections in all hosts
	sweep  *time.Timer
	closed bool
	dead   []io.Closer // to be closed when mu is given back
}

// unlock gives mu back, and then closes what was found dead: closing may take its time.
func (p *pool) unlock() {
	dead := p.dead
	p.dead = nil
	p.mu.Unlock()
	for _, c := range dead {
		_ = c.Close()
	}
}

// host is what is kept for one server.
type host struct {
	idle    []*h1 // the one used last is the last
	shared  []*h2
	plain   bool          // it does not speak HTTP/2
	probing chan struct{} // closed when a connection that may become a shared one is made, or not
}

func newPool(most int, dial func(context.Context, key) (link, *fault)) *pool {
	if most == 0 {
		most = 256
	}
	return &pool{most: most, dial: dial, hosts: map[key]*host{}}
}

// take returns a connection, kept or new. An HTTP/2 one has a stream reserved. Unless fresh is set
// a kept one is preferred; a request that is not idempotent gets one used a moment ago.
func (p *pool) take(ctx context.Context, deadline time.Time, k key, idempotent, fresh bool) (l link, kept bool, f *fault) {
	trust := keepIdle
	if !idempotent {
		trust = trustIdle
	}
	for {
		p.mu.Lock()
		h := p.host(k)
		if !fresh {
			if c := p.reserve(h, trust); c != nil {
				p.unlock()
				return c, true, nil
			}
			if c := p.pop(h, trust); c != nil {
				p.unlock()
				if c.alive() {
					return c, true, nil
				}
				_ = c.Close()
				continue
			}
		}
		probing, plain := h.probing, h.plain || k.scheme == "http"
		if !plain && probing == nil {
			h.probing = make(chan struct{})
			p.unlock()
			l, f = p.make(ctx, deadline, k, true)
			return l, false, f
		}
		p.unlock()
		if plain || fresh {
			l, f = p.make(ctx, deadline, k, false)
			return l, false, f
		}
		select {
		case <-probing:
			fresh = !p.settled(k)
		case <-ctx.Done():
			return nil, false, &fault{reason: "timeout", err: ctx.Err()}
		case <-time.After(time.Until(deadline)):
			return nil, false, &fault{reason: "timeout", err: context.DeadlineExceeded}
		}
	}
}

// settled tells whether it is known what a server speaks.
func (p *pool) settled(k key) bool {
	p.mu.Lock()
	defer p.unlock()
	h := p.host(k)
	return h.plain || len(h.shared) > 0
}

// make dials. probe says that others wait to see what comes of it.
func (p *pool) make(ctx context.Context, deadline time.Time, k key, probe bool) (link, *fault) {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	l, f := p.dial(ctx, k)
	p.mu.Lock()
	defer p.unlock()
	h := p.host(k)
	switch c := l.(type) {
	case *h1:
		c.key, c.pool = k, p
		h.plain = true
	case *h2:
		c.key, c.pool, c.used = k, p, time.Now()
		h.plain = false
		if err := c.conn.Reserve(); err != nil {
			p.dead = append(p.dead, c.conn)
			l, f = nil, &fault{reason: "dial", err: err}
			break
		}
		if c.calls = 1; !p.closed {
			h.shared = append(h.shared, c)
		}
	}
	p.arm()
	if probe && h.probing != nil {
		close(h.probing)
		h.probing = nil
	}
	return l, f
}

func (p *pool) host(k key) *host {
	h := p.hosts[k]
	if h == nil {
		h = &host{}
		p.hosts[k] = h
		p.arm()
	}
	return h
}

// pop takes the connection out that was used last, if that is not too long ago.
func (p *pool) pop(h *host, trust time.Duration) *h1 {
	n := len(h.idle)
	if n == 0 || time.Since(h.idle[n-1].used) > trust {
		return nil
	}
	c := h.idle[n-1]
	h.idle[n-1] = nil
	h.idle = h.idle[:n-1]
	p.idle--
	return c
}

// reserve finds a shared connection that takes another request.
func (p *pool) reserve(h *host, trust time.Duration) *h2 {
	for i := len(h.shared) - 1; i >= 0; i-- {
		c := h.shared[i]
		if c.calls == 0 && time.Since(c.used) > trust {
			continue
		}
		if c.conn.Reserve() == nil {
			c.calls++
			return c
		}
		if c.calls == 0 && c.conn.InFlight() == 0 { // closed, or told to go away
			h.shared = slices.Delete(h.shared, i, i+1)
			p.dead = append(p.dead, c.conn)
		}
	}
	return nil
}

// put keeps an HTTP/1 connection for the next exchange.
func (p *pool) put(c *h1) {
	p.mu.Lock()
	defer p.unlock()
	if p.closed || p.idle >= p.most || p.scarce != nil && p.scarce() {
		p.dead = append(p.dead, c)
		return
	}
	c.used = time.Now()
	h := p.host(c.key)
	h.idle = append(h.idle, c)
	p.idle++
	p.arm()
}

// release notes the end of an exchange over a shared connection. One that is lost is given to nobody
// any more: the exchanges under way go on, and the last of them closes it.
func (p *pool) release(c *h2, answered, lost bool) {
	p.mu.Lock()
	defer p.unlock()
	if answered {
		c.used = time.Now()
	}
	c.calls--
	h := p.host(c.key)
	i := slices.Index(h.shared, c)
	done := c.conn.Err() != nil || c.conn.InFlight() == 0 && c.conn.Available() == 0 || p.closed || len(h.shared) > mostShared || p.scarce != nil && p.scarce()
	if i >= 0 && (lost || done && c.calls == 0) {
		h.shared = slices.Delete(h.shared, i, i+1)
		i = -1
	}
	if i < 0 && c.calls == 0 {
		p.dead = append(p.dead, c.conn)
	}
}

// arm sees to it that idle connections and forgotten hosts are looked after. The caller holds mu.
func (p *pool) arm() {
	if p.sweep == nil && !p.closed {
		p.sweep = time.AfterFunc(keepIdle/3, p.expire)
	}
}

// expire closes what was idle for too long.
func (p *pool) expire() {
	p.mu.Lock()
	defer p.unlock()
	p.sweep = nil
	p.prune(keepIdle)
	if len(p.hosts) > 0 {
		p.arm()
	}
}

func (p *pool) prune(age time.Duration) {
	for k, h := range p.hosts {
		h.idle = slices.DeleteFunc(h.idle, func(c *h1) bool {
			if time.Since(c.used) < age {
				return false
			}
			p.idle--
			p.dead = append(p.dead, c)
			return true
		})
		h.shared = slices.DeleteFunc(h.shared, func(c *h2) bool {
			if c.calls > 0 || time.Since(c.used) < age {
				return false
			}
			p.dead = append(p.dead, c.conn)
			return true
		})
		if len(h.idle) == 0 && len(h.shared) == 0 && h.probing == nil {
			delete(p.hosts, k)
		}
	}
}

// shed closes what carries no request.
func (p *pool) shed() {
	p.mu.Lock()
	defer p.unlock()
	p.prune(0)
}

func (p *pool) close() {
	p.mu.Lock()
	defer p.unlock()
	p.closed = true
	if p.sweep != nil {
		p.sweep.Stop()
	}
	p.prune(0)
}
