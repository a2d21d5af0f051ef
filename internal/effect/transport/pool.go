package transport

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
	// trustIdle is how long a connection may have been idle for a request that is not idempotent. Servers close
	// idle connections after five seconds or more. If a request crosses with the close, its outcome is unknown.
	trustIdle = 2 * time.Second
	// maxShared is how many idle HTTP/2 connections are kept for one server.
	maxShared = 4
)

// pool keeps connections open between exchanges.
type pool struct {
	maxIdle int
	dial    func(context.Context, Server) (link, *Fault)
	// scarce reports whether a request waits for a connection to be closed; nil is never.
	scarce func() bool

	mu     sync.Mutex
	hosts  map[Server]*host
	idle   int // HTTP/1 connections in all hosts
	sweep  *time.Timer
	closed bool
	dead   []io.Closer // to be closed when mu is unlocked
}

// unlock unlocks mu and then closes dead connections, which may take a while.
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
	idle    []*h1 // in the order of their last use
	shared  []*h2
	plain   bool          // it does not speak HTTP/2
	probing chan struct{} // not nil while the first connection is made; closed when it is known whether it is HTTP/2
}

func newPool(maxIdle int, dial func(context.Context, Server) (link, *Fault)) *pool {
	if maxIdle == 0 {
		maxIdle = 256
	}
	return &pool{maxIdle: maxIdle, dial: dial, hosts: map[Server]*host{}}
}

// take returns a connection, and whether it was kept or is new. On an HTTP/2 connection a stream is reserved. With
// fresh it takes no kept connection. A request that is not idempotent only gets a kept connection that was used a
// moment ago.
func (p *pool) take(ctx context.Context, deadline time.Time, s Server, idempotent, fresh bool) (l link, kept bool, f *Fault) {
	trust := keepIdle
	if !idempotent {
		trust = trustIdle
	}
	for {
		p.mu.Lock()
		h := p.host(s)
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
		probing, plain := h.probing, h.plain || s.Scheme == "http"
		if !plain && probing == nil {
			h.probing = make(chan struct{})
			p.unlock()
			l, f = p.make(ctx, deadline, s, true)
			return l, false, f
		}
		p.unlock()
		if plain || fresh {
			l, f = p.make(ctx, deadline, s, false)
			return l, false, f
		}
		select {
		case <-probing:
			fresh = !p.settled(s)
		case <-ctx.Done():
			return nil, false, &Fault{Reason: "timeout", Err: ctx.Err()}
		case <-time.After(time.Until(deadline)):
			return nil, false, &Fault{Reason: "timeout", Err: context.DeadlineExceeded}
		}
	}
}

// settled reports whether it is known which protocol a server speaks.
func (p *pool) settled(s Server) bool {
	p.mu.Lock()
	defer p.unlock()
	h := p.host(s)
	return h.plain || len(h.shared) > 0
}

// make makes a connection. With probe, other requests wait to learn which protocol the server speaks.
func (p *pool) make(ctx context.Context, deadline time.Time, s Server, probe bool) (link, *Fault) {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	l, f := p.dial(ctx, s)
	p.mu.Lock()
	defer p.unlock()
	h := p.host(s)
	switch c := l.(type) {
	case *h1:
		c.server, c.pool = s, p
		h.plain = true
	case *h2:
		c.server, c.pool, c.used = s, p, time.Now()
		h.plain = false
		if err := c.conn.Reserve(); err != nil {
			p.dead = append(p.dead, c.conn)
			l, f = nil, &Fault{Reason: "dial", Err: err}
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

func (p *pool) host(s Server) *host {
	h := p.hosts[s]
	if h == nil {
		h = &host{}
		p.hosts[s] = h
		p.arm()
	}
	return h
}

// pop removes and returns the connection that was used last, nil if that was more than trust ago.
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

// reserve reserves a stream on a shared connection, nil if none has room.
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
		if c.calls == 0 && c.conn.InFlight() == 0 { // closed, or the server sent GOAWAY
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
	if p.closed || p.idle >= p.maxIdle || p.scarce != nil && p.scarce() {
		p.dead = append(p.dead, c)
		return
	}
	c.used = time.Now()
	h := p.host(c.server)
	h.idle = append(h.idle, c)
	p.idle++
	p.arm()
}

// release ends an exchange over a shared connection. A lost connection takes no more requests: those under way go on,
// and the last of them closes it.
func (p *pool) release(c *h2, answered, lost bool) {
	p.mu.Lock()
	defer p.unlock()
	if answered {
		c.used = time.Now()
	}
	c.calls--
	h := p.host(c.server)
	i := slices.Index(h.shared, c)
	done := c.conn.Err() != nil || c.conn.InFlight() == 0 && c.conn.Available() == 0 || p.closed || len(h.shared) > maxShared || p.scarce != nil && p.scarce()
	if i >= 0 && (lost || done && c.calls == 0) {
		h.shared = slices.Delete(h.shared, i, i+1)
		i = -1
	}
	if i < 0 && c.calls == 0 {
		p.dead = append(p.dead, c.conn)
	}
}

// arm starts the timer that closes idle connections and forgets unused hosts. The caller holds mu.
func (p *pool) arm() {
	if p.sweep == nil && !p.closed {
		p.sweep = time.AfterFunc(keepIdle/3, p.expire)
	}
}

// expire closes connections that were idle for too long.
func (p *pool) expire() {
	p.mu.Lock()
	defer p.unlock()
	p.sweep = nil
	p.prune(keepIdle)
	if len(p.hosts) > 0 {
		p.arm()
	}
}

// prune closes the connections that were idle for this long, and forgets hosts without connections. The caller holds
// mu.
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

// shed closes all idle connections.
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
