package listen

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// headers is how much longer than an idle one a connection over HTTP/3 lives that sends headers but no request. The library
// has no limit for headers, and its idle time does not count while a stream is open.
const headers = 30 * time.Second

// maxQUIC is the maximum number of connections over HTTP/3. They share a socket, but each takes some 50 KB of memory.
const maxQUIC = 1 << 14

// quicLimits bounds the connections over HTTP/3: their number, and how long one lives without a request.
type quicLimits struct {
	log     *slog.Logger
	max     int64
	silence time.Duration
	open    atomic.Int64
	refused atomic.Int64 // since the last connection that was accepted
}

type quicKey struct{}

// context is http3.Server.ConnContext.
func (q *quicLimits) context(ctx context.Context, conn *quic.Conn) context.Context {
	n := q.open.Add(1)
	context.AfterFunc(conn.Context(), func() { q.open.Add(-1) })
	if n > q.max {
		if q.refused.Add(1) == 1 {
			q.log.Warn("too many open connections over HTTP/3, refusing more", "open", q.max)
		}
		_ = conn.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeExcessiveLoad), "too many open connections")
		return ctx
	}
	if refused := q.refused.Swap(0); refused > 0 {
		q.log.Warn("too many open connections over HTTP/3, refused some", "refused", refused, "open", q.max)
	}
	c := &quicConn{limits: q, conn: conn}
	c.timer = time.AfterFunc(q.silence, c.expire)
	context.AfterFunc(conn.Context(), func() { c.timer.Stop() })
	return context.WithValue(ctx, quicKey{}, c)
}

// enforce returns a handler that counts the requests of each connection. It does not carry out requests of a connection that
// has been closed.
func (q *quicLimits) enforce(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, _ := r.Context().Value(quicKey{}).(*quicConn)
		if c == nil || !c.begin() {
			panic(http.ErrAbortHandler)
		}
		defer c.end()
		next.ServeHTTP(w, r)
	})
}

// quicConn is a connection that is closed when it has had no request for a while.
type quicConn struct {
	limits *quicLimits
	conn   *quic.Conn
	timer  *time.Timer

	mu       sync.Mutex
	requests int
	closed   bool
}

func (c *quicConn) begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.requests++
	return true
}

func (c *quicConn) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.requests--; c.requests == 0 && c.conn.Context().Err() == nil {
		c.timer.Reset(c.limits.silence)
	}
}

func (c *quicConn) expire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.requests > 0 {
		return // the end of the last one starts the timer again
	}
	c.closed = true
	_ = c.conn.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeNoError), "no request has come")
}
