package effect

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"
)

// h2 is an HTTP/2 connection, which many exchanges share.
type h2 struct {
	key  key
	pool *pool
	conn *http.ClientConn

	// guarded by the pool
	used  time.Time // end of the last exchange that was answered
	calls int       // exchanges under way
}

// agreed is the key of a context's value: the TLS connection on which both sides agreed on HTTP/2.
type agreed struct{}

// newUpgrade returns the transport that makes HTTP/2 connections of TLS connections. It keeps and
// repeats nothing: its own pool is never used.
func newUpgrade() *http.Transport {
	t := &http.Transport{
		DialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return ctx.Value(agreed{}).(net.Conn), nil
		},
		DisableCompression:     true,
		MaxResponseHeaderBytes: mostHeader,
		Protocols:              new(http.Protocols),
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second},
	}
	t.Protocols.SetHTTP2(true)
	return t
}

func (c *Client) newH2(ctx context.Context, k key, conn *tls.Conn) (*h2, error) {
	cc, err := c.upgrade.NewClientConn(context.WithValue(ctx, agreed{}, net.Conn(conn)), "https", net.JoinHostPort(k.host, k.port))
	if err != nil {
		return nil, fmt.Errorf("beginning HTTP/2: %w", err)
	}
	return &h2{conn: cc}, nil
}

func (c *h2) drop() {
	c.conn.Release()
	c.pool.release(c, false, false)
}

func (c *h2) exchange(ctx context.Context, deadline time.Time, r *request, t *trail) (*reply, *fault) {
	within, cancel := context.WithDeadline(ctx, deadline)
	answered, lost := false, false
	defer func() { c.pool.release(c, answered, lost) }()
	defer cancel()
	a, f := c.run(within, r, t)
	answered = f == nil
	// A connection that does not answer in time may be dead without anybody having said so.
	lost = f != nil && ctx.Err() == nil && (within.Err() != nil || c.conn.Err() != nil)
	return a, f
}

func (c *h2) run(ctx context.Context, r *request, t *trail) (*reply, *fault) {
	req := &http.Request{Method: r.method, URL: r.url, Host: r.host, Header: make(http.Header, len(r.fields)),
		Proto: "HTTP/2.0", ProtoMajor: 2, Body: r.reader(), ContentLength: int64(len(r.body))}
	for _, f := range r.fields {
		req.Header[f.name] = append(req.Header[f.name], f.value)
	}
	begun := time.Now().UnixNano()
	var first atomic.Int64 // when the first header was encoded, after all checks and before the first write
	trace := &httptrace.ClientTrace{WroteHeaderField: func(string, []string) { first.CompareAndSwap(0, time.Now().UnixNano()) }}
	res, err := c.conn.RoundTrip(req.WithContext(httptrace.WithClientTrace(ctx, trace)))
	// RoundTrip waits until nothing more is written, but not longer than ctx.
	if err != nil && ctx.Err() == nil && first.Load() == 0 {
		return nil, c.unsent(err)
	}
	if at := first.Load(); at != 0 {
		begun = at
	}
	t.add("sent", begun)
	if err != nil {
		return nil, &fault{sent: true, err: closed(err, "before a response came")}
	}
	defer func() { _ = res.Body.Close() }()
	a, err := readBody(res, r, begun)
	if err != nil {
		return nil, &fault{sent: true, status: res.StatusCode, err: closed(err, "in the middle of the response")}
	}
	return a, nil
}

// unsent is the fault of a request of which nothing was written: the connection takes no more, or not
// this one.
func (c *h2) unsent(err error) *fault {
	if c.conn.Available() == 0 {
		return &fault{reason: "dial", err: closed(err, "before the request")}
	}
	return &fault{reason: "headers", err: err}
}

func closed(err error, where string) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("the server closed the connection %s", where)
	}
	return err
}
