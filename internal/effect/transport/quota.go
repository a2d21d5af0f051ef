package transport

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/semaphore"
)

// quota limits how many connections are open at a time. A dial above the limit waits, and idle connections are closed
// for it. Nothing of its request has been sent by then.
type quota struct {
	free    *semaphore.Weighted // nil is unlimited
	max     int64
	waiting atomic.Int32
}

// dialFDs is how many file descriptors a dial may use at a time: to look up the name, and to try two addresses.
const dialFDs = 3

func newQuota(limit int) *quota {
	if limit == 0 {
		return &quota{}
	}
	return &quota{free: semaphore.NewWeighted(int64(limit)), max: int64(limit)}
}

// scarce reports whether a dial waits.
func (q *quota) scarce() bool { return q.waiting.Load() > 0 }

// connect dials within the quota. It calls shed to close idle connections if the quota is used up.
func (q *quota) connect(ctx context.Context, shed func(), dial func() (net.Conn, error)) (net.Conn, error) {
	if q.free == nil {
		return dial()
	}
	took := min(dialFDs, q.max)
	if !q.free.TryAcquire(took) {
		q.waiting.Add(1) // from now on, the pool keeps no connection
		shed()
		err := q.free.Acquire(ctx, took)
		q.waiting.Add(-1)
		if err != nil {
			return nil, err
		}
	}
	c, err := dial()
	for pause := 10 * time.Millisecond; exhausted(err) && ctx.Err() == nil && pause < 2*time.Second; pause *= 2 {
		shed()
		select {
		case <-time.After(pause):
			c, err = dial()
		case <-ctx.Done():
		}
	}
	if err != nil {
		q.free.Release(took)
		return nil, err
	}
	q.free.Release(took - 1)
	back := sync.OnceFunc(func() { q.free.Release(1) })
	if tcp, ok := c.(*net.TCPConn); ok {
		return &countedTCP{tcp, back}, nil
	}
	return &counted{c, back}, nil
}

// exhausted reports whether a dial failed because too many files are open.
func exhausted(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

// counted is a connection that returns its permit when it is closed.
type counted struct {
	net.Conn
	back func()
}

func (c *counted) Close() error {
	defer c.back()
	return c.Conn.Close()
}

// countedTCP is a counted connection that implements syscall.Conn, so that it can be peeked.
type countedTCP struct {
	*net.TCPConn
	back func()
}

func (c *countedTCP) Close() error {
	defer c.back()
	return c.TCPConn.Close()
}
