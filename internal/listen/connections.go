package listen

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
	"github.com/flawless-engine/flawless/internal/reply"
)

// limited is a listener with a maximum number of open connections, so that there are always file descriptors left
// for the store. Connections above the limit get status 503 and are closed; if there are many of them at once, they
// are closed without an answer.
type limited struct {
	*net.TCPListener
	log      *slog.Logger
	max      int64
	open     atomic.Int64
	refused  atomic.Int64  // since the last connection that was accepted
	refusing chan struct{} // has one element for each connection that is being answered with 503
	once     sync.Once
}

// Answering a refused connection needs a descriptor, too, so both the number and the time are limited.
const (
	maxRefusing    = 16
	refusalTimeout = time.Second
)

// limitConnections returns a listener with at most n connections, including those that are being refused.
func limitConnections(l *net.TCPListener, n int, log *slog.Logger) *limited {
	refusing := min(maxRefusing, max(n/4, 1))
	return &limited{TCPListener: l, log: log, max: int64(max(n-refusing, 1)), refusing: make(chan struct{}, refusing)}
}

// Accept implements net.Listener.
func (c *limited) Accept() (net.Conn, error) {
	for {
		conn, err := c.AcceptTCP()
		if err != nil {
			return nil, err
		}
		if c.open.Add(1) <= c.max {
			if n := c.refused.Swap(0); n > 0 {
				c.log.Warn("too many open connections, refused some", "refused", n, "open", c.max)
			}
			return &counted{TCPConn: conn, listener: c}, nil
		}
		c.open.Add(-1)
		if c.refused.Add(1) == 1 {
			c.log.Warn("too many open connections, refusing more", "open", c.max)
		}
		select {
		case c.refusing <- struct{}{}:
			go func() { // Close waits for it
				c.refuse(conn)
				<-c.refusing
			}()
		default:
			_ = conn.Close()
		}
	}
}

// refuse answers a connection with 503 over HTTP/1.1.
func (c *limited) refuse(conn *net.TCPConn) {
	defer conn.Close()
	if conn.SetDeadline(time.Now().Add(refusalTimeout)) != nil {
		return
	}
	if _, err := conn.Read(make([]byte, 4<<10)); err != nil { // some clients ignore an answer that comes before their request
		return
	}
	why := reply.From(fmt.Errorf("the server has %d open connections, which is its limit: try again in a moment, or raise its limit of open files: %w", c.max, flawless.Stopping))
	body, err := json.Marshal(why)
	if err != nil {
		return
	}
	_, err = fmt.Fprintf(conn, "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\nContent-Length: %d\r\nRetry-After: 1\r\nConnection: close\r\n\r\n%s", len(body), body)
	if err == nil && conn.CloseWrite() == nil {
		_, _ = io.Copy(io.Discard, io.LimitReader(conn, 64<<10)) // otherwise the system may reset the connection before the client has read the answer
	}
}

// Close implements net.Listener.
func (c *limited) Close() error {
	err := c.TCPListener.Close()
	c.once.Do(func() {
		for range cap(c.refusing) {
			c.refusing <- struct{}{}
		}
	})
	return err
}

// counted is a connection that counts as open until it is closed.
type counted struct {
	*net.TCPConn
	listener *limited
	once     sync.Once
}

// Close implements net.Conn.
func (c *counted) Close() error {
	err := c.TCPConn.Close()
	c.once.Do(func() { c.listener.open.Add(-1) })
	return err
}
