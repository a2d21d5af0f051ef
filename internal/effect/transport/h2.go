package transport

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
	server Server
	pool   *pool
	conn   *http.ClientConn

	// guarded by the pool
	used  time.Time // end of the last exchange that was answered
	calls int       // exchanges under way
}

// agreed is the context key of the TLS connection on which both sides have agreed on HTTP/2.
type agreed struct{}

// newUpgrade returns a transport that makes HTTP/2 connections of TLS connections. Its own pool is never used, so it
// keeps and repeats nothing.
func newUpgrade() *http.Transport {
	t := &http.Transport{
		DialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return ctx.Value(agreed{}).(net.Conn), nil
		},
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxHeader,
		Protocols:              new(http.Protocols),
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second},
	}
	t.Protocols.SetHTTP2(true)
	return t
}

func (c *Client) newH2(ctx context.Context, s Server, conn *tls.Conn) (*h2, error) {
	cc, err := c.upgrade.NewClientConn(context.WithValue(ctx, agreed{}, net.Conn(conn)), "https", net.JoinHostPort(s.Host, s.Port))
	if err != nil {
		return nil, fmt.Errorf("beginning HTTP/2: %w", err)
	}
	return &h2{conn: cc}, nil
}

func (c *h2) drop() {
	c.conn.Release()
	c.pool.release(c, false, false)
}

func (c *h2) exchange(ctx context.Context, deadline time.Time, r *Request, t *Trail) (*Reply, *Fault) {
	within, cancel := context.WithDeadline(ctx, deadline)
	answered, lost := false, false
	defer func() { c.pool.release(c, answered, lost) }()
	defer cancel()
	a, f := c.run(within, r, t)
	answered = f == nil
	// A connection on which no response comes in time may be dead without either side knowing.
	lost = f != nil && ctx.Err() == nil && (within.Err() != nil || c.conn.Err() != nil)
	return a, f
}

func (c *h2) run(ctx context.Context, r *Request, t *Trail) (*Reply, *Fault) {
	if r.Sending != nil {
		if err := r.Sending(true); err != nil {
			return nil, &Fault{Reason: "dial", Err: err}
		}
	}
	req := &http.Request{Method: r.Method, URL: r.URL, Host: r.Host, Header: make(http.Header, len(r.Fields)),
		Proto: "HTTP/2.0", ProtoMajor: 2, Body: r.reader(), ContentLength: int64(len(r.Body))}
	for _, f := range r.Fields {
		req.Header[f.Name] = append(req.Header[f.Name], f.Value)
	}
	begun := time.Now().UnixNano()
	var first atomic.Int64 // when the first header field was encoded, after all checks and before the first write
	trace := &httptrace.ClientTrace{WroteHeaderField: func(string, []string) { first.CompareAndSwap(0, time.Now().UnixNano()) }}
	res, err := c.conn.RoundTrip(req.WithContext(httptrace.WithClientTrace(ctx, trace)))
	// RoundTrip returns once nothing more is written, or when ctx ends.
	if err != nil && ctx.Err() == nil && first.Load() == 0 {
		return nil, c.unsent(err)
	}
	if at := first.Load(); at != 0 {
		begun = at
	}
	t.Add("sent", begun)
	if err != nil {
		return nil, &Fault{Sent: true, Err: closed(err, "before a response came")}
	}
	defer func() { _ = res.Body.Close() }()
	a, err := readBody(res, r, begun)
	if err != nil {
		return nil, &Fault{Sent: true, Status: res.StatusCode, Err: closed(err, "in the middle of the response")}
	}
	return a, nil
}

// unsent returns the fault of a request of which nothing was written: the connection takes no more requests, or it
// refuses this one.
func (c *h2) unsent(err error) *Fault {
	if c.conn.Available() == 0 {
		return &Fault{Reason: "dial", Err: closed(err, "before the request")}
	}
	return &Fault{Reason: "headers", Err: err}
}

func closed(err error, where string) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("the server closed the connection %s", where)
	}
	return err
}
