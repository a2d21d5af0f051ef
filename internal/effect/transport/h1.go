package transport

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"strconv"
	"time"
)

const (
	// maxHeader is the longest head of a response, in bytes.
	maxHeader = 1 << 20
	// maxInline is the longest request that is written before its response is read. A longer one is written in a
	// goroutine of its own, as a server may answer before it has read all of it.
	maxInline = 64 << 10
)

var errHeader = fmt.Errorf("the head of the response is longer than %d bytes", maxHeader)

// h1 is an HTTP/1.1 connection. It carries one exchange at a time, in the goroutine of the caller.
type h1 struct {
	server Server
	pool   *pool
	used   time.Time // end of the last exchange

	wire *wire
	conn net.Conn // wire, or TLS over it
	in   *bufio.Reader
	out  []byte
	left int   // bytes that may still be read
	got  error // why reading ended
	ask  http.Request
}

func newH1(w *wire, secure net.Conn) *h1 {
	c := &h1{wire: w, conn: w}
	if secure != nil {
		c.conn = secure
	}
	c.in = bufio.NewReader(c)
	return c
}

// Read reads from the connection, within the limit for heads.
func (c *h1) Read(p []byte) (int, error) {
	if c.left <= 0 {
		c.got = errHeader
		return 0, errHeader
	}
	if len(p) > c.left {
		p = p[:c.left]
	}
	n, err := c.conn.Read(p)
	c.left -= n
	if err != nil {
		c.got = err
	}
	return n, err
}

func (c *h1) alive() bool { return c.in.Buffered() == 0 && c.wire.alive() }

// Close closes the connection.
func (c *h1) Close() error { return c.conn.Close() }

func (c *h1) drop() { c.pool.put(c) }

func (c *h1) exchange(ctx context.Context, deadline time.Time, r *Request, t *Trail) (*Reply, *Fault) {
	c.wire.first.Store(0)
	c.wire.sending = r.Sending
	c.got = nil
	if err := c.conn.SetDeadline(deadline); err != nil {
		_ = c.Close()
		return nil, &Fault{Reason: "dial", Err: err}
	}
	stop := context.AfterFunc(ctx, func() {
		if context.Cause(ctx) == ErrCutOff {
			c.wire.cutOff()
			return
		}
		_ = c.wire.SetDeadline(time.Unix(1, 0))
	})
	reuse := false
	defer func() { // also when reading panics
		if reuse {
			c.wire.sending = nil
			c.pool.put(c)
		} else {
			_ = c.Close()
		}
	}()
	a, whole, f := c.run(r)
	reuse = stop() && whole && f == nil
	if at := c.wire.first.Load(); at != 0 {
		t.Add("sent", at)
		if f != nil {
			f.Sent = true
		}
	}
	if err := c.wire.refused.Load(); err != nil && f != nil {
		f.Reason, f.Err = "dial", *err
	}
	return a, f
}

// run writes the request and reads the response. With reuse, the connection can carry another exchange.
func (c *h1) run(r *Request) (a *Reply, reuse bool, f *Fault) {
	c.out = r.appendHead(c.out[:0])
	if len(c.out)+len(r.Body) <= maxInline {
		c.out = append(c.out, r.Body...)
		_, err := c.conn.Write(c.out)
		if err != nil && (c.wire.first.Load() == 0 || timedOut(err)) {
			return nil, false, &Fault{Reason: "dial", Err: err}
		}
		a, reuse, f = c.read(r)
		return a, reuse && err == nil, f
	}
	written := make(chan error, 1)
	go func() { written <- c.write(r.Body) }()
	a, reuse, f = c.read(r)
	select {
	case err := <-written:
		return a, reuse && err == nil, f
	default: // the response came early, or will never come
	}
	_ = c.wire.SetDeadline(time.Unix(1, 0))
	<-written
	return a, false, f
}

func (c *h1) write(body []byte) error {
	if _, err := c.conn.Write(c.out); err != nil {
		return err
	}
	_, err := c.conn.Write(body)
	return err
}

func timedOut(err error) bool {
	var e net.Error
	return errors.As(err, &e) && e.Timeout()
}

// read reads the response. It does so even if writing failed: the server may have answered before.
func (c *h1) read(r *Request) (*Reply, bool, *Fault) {
	c.left = maxHeader
	c.ask.Method = r.Method
	for {
		res, err := http.ReadResponse(c.in, &c.ask)
		switch {
		case err != nil:
			return nil, false, &Fault{Reason: "dial", Err: c.cause(err, "before a response came")}
		case res.StatusCode == http.StatusSwitchingProtocols || res.StatusCode < 100 || res.StatusCode > 999:
			return nil, false, &Fault{Reason: "dial", Status: res.StatusCode, Err: fmt.Errorf("the response has the unexpected status %d", res.StatusCode)}
		case res.StatusCode < 200:
			continue
		}
		c.left = math.MaxInt
		a, err := readBody(res, r, c.wire.first.Load())
		if err == nil && c.torn(res) {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return nil, false, &Fault{Reason: "dial", Status: res.StatusCode, Err: c.cause(err, "in the middle of the response")}
		}
		reuse := !res.Close && !a.TooLarge && !a.Cut && c.in.Buffered() == 0 && c.got == nil
		return a, reuse, nil
	}
}

// torn reports whether a response whose end is the end of the connection was cut off. TLS ends with a close_notify, but
// crypto/tls reports the bare end of the connection in the same way.
func (c *h1) torn(res *http.Response) bool {
	secure := c.conn != net.Conn(c.wire)
	return secure && res.ContentLength < 0 && len(res.TransferEncoding) == 0 && c.wire.ended.Load()
}

// Garbled is the error of a response that is not HTTP. Its text quotes what the server sent.
type Garbled struct{ err error }

func (g *Garbled) Error() string { return "the response is not HTTP: " + g.err.Error() }
func (g *Garbled) Unwrap() error { return g.err }

// cause returns the error for a response that could not be read.
func (c *h1) cause(err error, where string) error {
	switch {
	case c.got == nil:
		return &Garbled{err}
	case errors.Is(c.got, io.EOF):
		return fmt.Errorf("the server closed the connection %s", where)
	}
	return c.got
}

// readBody reads the body of a response to its end or to the limit. sent is when the request was sent.
func readBody(res *http.Response, r *Request, sent int64) (*Reply, error) {
	a := &Reply{Status: res.StatusCode, Header: res.Header}
	if res.ContentLength > r.Limit && !r.Cut && r.Method != http.MethodHead {
		a.TooLarge = true
		return a, nil
	}
	if r.Stream != nil {
		if reply, streamed, err := r.Stream(res, sent); streamed {
			return reply, err
		}
	}
	room := int64(512)
	if res.ContentLength >= 0 && r.Method != http.MethodHead {
		room = min(res.ContentLength, 1<<20-1) + 1
	}
	b := make([]byte, 0, room)
	for {
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		n, err := res.Body.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if int64(len(b)) > r.Limit {
			a.TooLarge = !r.Cut
			a.Cut = r.Cut
			a.Body = b[:r.Limit]
			return a, nil
		}
		switch err {
		case nil:
		case io.EOF:
			a.Body = b
			return a, nil
		default:
			return nil, err
		}
	}
}

// appendHead appends the request line and the header fields.
func (r *Request) appendHead(b []byte) []byte {
	b = append(append(b, r.Method...), ' ')
	b = append(append(b, r.URL.RequestURI()...), " HTTP/1.1\r\nHost: "...)
	b = append(append(b, r.Host...), "\r\n"...)
	for _, f := range r.Fields {
		b = append(append(b, f.Name...), ": "...)
		b = append(append(b, f.Value...), "\r\n"...)
	}
	if r.hasLength() {
		b = append(b, "Content-Length: "...)
		b = append(strconv.AppendInt(b, int64(len(r.Body)), 10), "\r\n"...)
	}
	return append(b, "\r\n"...)
}

// hasLength reports whether to send a Content-Length. Methods for which a body has no meaning are sent without one if
// there is no body (RFC 9110, section 8.6).
func (r *Request) hasLength() bool {
	switch r.Method {
	case http.MethodPost, http.MethodPut, http.MethodPatch:
		return true
	}
	return len(r.Body) > 0
}

// reader returns the body for net/http.
func (r *Request) reader() io.ReadCloser {
	if len(r.Body) == 0 {
		return http.NoBody
	}
	if r.Sending != nil {
		return &allowed{bytes.NewReader(r.Body), r.Sending}
	}
	return io.NopCloser(bytes.NewReader(r.Body))
}

// allowed is a body of which each part is asked for before it is read to be written.
type allowed struct {
	io.Reader
	sending func(first bool) error
}

func (a *allowed) Read(p []byte) (int, error) {
	if err := a.sending(false); err != nil {
		return 0, err
	}
	return a.Reader.Read(p[:min(len(p), maxWrite)])
}

func (a *allowed) Close() error { return nil }
