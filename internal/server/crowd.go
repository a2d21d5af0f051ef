package server

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/flawless-engine/flawless"
)

// crowd is a listener that has only so many connections open at a time, so that the files of the store
// can always be opened. One more is answered with 503, whatever it asks for, and closed; where many come at
// once they are closed without an answer.
type crowd struct {
	*net.TCPListener
	log     *slog.Logger
	most    int64
	open    atomic.Int64
	refused atomic.Int64  // since the last one was taken in
	turning chan struct{} // has room for those that are being answered with 503
	once    sync.Once
}

// Answering those that are refused takes descriptors, too.
const (
	mostTurned = 16
	turnedTime = time.Second
)

// newCrowd returns a listener that has at most so many connections open.
func newCrowd(l *net.TCPListener, most int, log *slog.Logger) *crowd {
	turned := min(mostTurned, max(most/4, 1))
	return &crowd{TCPListener: l, log: log, most: int64(max(most-turned, 1)), turning: make(chan struct{}, turned)}
}

// Accept implements net.Listener.
func (c *crowd) Accept() (net.Conn, error) {
	for {
		conn, err := c.AcceptTCP()
		if err != nil {
			return nil, err
		}
		if c.open.Add(1) <= c.most {
			if n := c.refused.Swap(0); n > 0 {
				c.log.Warn("too many open connections, refused some", "refused", n, "open", c.most)
			}
			return &counted{TCPConn: conn, crowd: c}, nil
		}
		c.open.Add(-1)
		if c.refused.Add(1) == 1 {
			c.log.Warn("too many open connections, refusing more", "open", c.most)
		}
		select {
		case c.turning <- struct{}{}:
			go func() { // Close waits for it
				c.turn(conn)
				<-c.turning
			}()
		default:
			_ = conn.Close()
		}
	}
}

// turn tells a client over HTTP/1.1 that it is refused.
func (c *crowd) turn(conn *net.TCPConn) {
	defer conn.Close()
	if conn.SetDeadline(time.Now().Add(turnedTime)) != nil {
		return
	}
	if _, err := conn.Read(make([]byte, 4<<10)); err != nil { // an answer before the request is none to some clients
		return
	}
	why := problem(fmt.Errorf("the server has %d open connections, which is its limit: try again in a moment, or raise its limit of open files: %w", c.most, flawless.Stopping))
	body, err := json.Marshal(why)
	if err != nil {
		return
	}
	_, err = fmt.Fprintf(conn, "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\nContent-Length: %d\r\nRetry-After: 1\r\nConnection: close\r\n\r\n%s", len(body), body)
	if err == nil && conn.CloseWrite() == nil {
		_, _ = io.Copy(io.Discard, io.LimitReader(conn, 64<<10)) // else the system would cut off the answer
	}
}

// Close implements net.Listener.
func (c *crowd) Close() error {
	err := c.TCPListener.Close()
	c.once.Do(func() {
		for range cap(c.turning) {
			c.turning <- struct{}{}
		}
	})
	return err
}

// counted is a connection that counts until it is closed.
type counted struct {
	*net.TCPConn
	crowd *crowd
	once  sync.Once
}

// Close implements net.Conn.
func (c *counted) Close() error {
	err := c.TCPConn.Close()
	c.once.Do(func() { c.crowd.open.Add(-1) })
	return err
}
