package effect

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

// quota is how many connections may be open at a time. A dial that finds none left waits: nothing of its
// call has been sent. Connections without a request are closed for it.
type quota struct {
	free    *semaphore.Weighted // nil is unlimited
	most    int64
	waiting atomic.Int32
}

// dialing is how many descriptors a dial may take at a time: to look up the name, and to try two addresses.
const dialing = 3

func newQuota(most int) *quota {
	if most == 0 {
		return &quota{}
	}
	return &quota{free: semaphore.NewWeighted(int64(most)), most: int64(most)}
}

// scarce tells whether a dial waits.
func (q *quota) scarce() bool { return q.waiting.Load() > 0 }

// connect dials within the quota. shed is called when there is nothing left, and closes what nobody uses.
func (q *quota) connect(ctx context.Context, shed func(), dial func() (net.Conn, error)) (net.Conn, error) {
	if q.free == nil {
		return dial()
	}
	took := min(dialing, q.most)
	if !q.free.TryAcquire(took) {
		q.waiting.Add(1) // from here on, no connection is kept
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

// exhausted tells whether a dial failed because this machine has too many files open.
func exhausted(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

// counted is a connection that gives its place back when it is closed.
type counted struct {
	net.Conn
	back func()
}

func (c *counted) Close() error {
	defer c.back()
	return c.Conn.Close()
}

// countedTCP is a counted connection that the system can be asked about.
type countedTCP struct {
	*net.TCPConn
	back func()
}

func (c *countedTCP) Close() error {
	defer c.back()
	return c.TCPConn.Close()
}
