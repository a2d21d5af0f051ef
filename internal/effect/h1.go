package effect

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
	// mostHeader is the longest head of a response, in bytes.
	mostHeader = 1 << 20
	// inline is the longest request that is written before its response is read. A longer one is
	// written beside it: a server may answer before it has read everything.
	inline = 64 << 10
)

var errHeader = fmt.Errorf("the head of the response is longer than %d bytes", mostHeader)

// h1 is an HTTP/1.1 connection. It carries one exchange at a time, on the goroutine of the caller.
type h1 struct {
	key  key
	pool *pool
	used time.Time // end of the last exchange

	wire *wire
	conn net.Conn // wire, or TLS above it
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

func (c *h1) exchange(ctx context.Context, deadline time.Time, r *request, t *trail) (*reply, *fault) {
	c.wire.first.Store(0)
	c.got = nil
	if err := c.conn.SetDeadline(deadline); err != nil {
		_ = c.Close()
		return nil, &fault{reason: "dial", err: err}
	}
	stop := context.AfterFunc(ctx, func() { _ = c.wire.SetDeadline(time.Unix(1, 0)) })
	reuse := false
	defer func() { // also when reading panics
		if reuse {
			c.pool.put(c)
		} else {
			_ = c.Close()
		}
	}()
	a, whole, f := c.run(r)
	reuse = stop() && whole && f == nil
	if at := c.wire.first.Load(); at != 0 {
		t.add("sent", at)
		if f != nil {
			f.sent = true
		}
	}
	return a, f
}

// run writes the request and reads the response. reuse says that the connection is as good as new.
func (c *h1) run(r *request) (a *reply, reuse bool, f *fault) {
	c.out = r.appendHead(c.out[:0])
	if len(c.out)+len(r.body) <= inline {
		c.out = append(c.out, r.body...)
		_, err := c.conn.Write(c.out)
		if err != nil && (c.wire.first.Load() == 0 || timedOut(err)) {
			return nil, false, &fault{reason: "dial", err: err}
		}
		a, reuse, f = c.read(r)
		return a, reuse && err == nil, f
	}
	written := make(chan error, 1)
	go func() { written <- c.write(r.body) }()
	a, reuse, f = c.read(r)
	select {
	case err := <-written:
		return a, reuse && err == nil, f
	default: // the answer came early, or will never come
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

// read reads the response, whatever became of the writing: it may have been answered before.
func (c *h1) read(r *request) (*reply, bool, *fault) {
	c.left = mostHeader
	c.ask.Method = r.method
	for {
		res, err := http.ReadResponse(c.in, &c.ask)
		switch {
		case err != nil:
			return nil, false, &fault{reason: "dial", err: c.cause(err, "before a response came")}
		case res.StatusCode == http.StatusSwitchingProtocols || res.StatusCode < 100 || res.StatusCode > 999:
			return nil, false, &fault{reason: "dial", status: res.StatusCode, err: fmt.Errorf("the response has status %d, which nobody asked for", res.StatusCode)}
		case res.StatusCode < 200:
			continue
		}
		c.left = math.MaxInt
		a, err := readBody(res, r, c.wire.first.Load())
		if err == nil && c.torn(res) {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return nil, false, &fault{reason: "dial", status: res.StatusCode, err: c.cause(err, "in the middle of the response")}
		}
		reuse := !res.Close && !a.tooLarge && !a.cut && c.in.Buffered() == 0 && c.got == nil
		return a, reuse, nil
	}
}

// torn tells whether a response that ends where the connection ends was cut off: TLS ends with a
// goodbye, and crypto/tls takes the bare end of the connection for one.
func (c *h1) torn(res *http.Response) bool {
	secure := c.conn != net.Conn(c.wire)
	return secure && res.ContentLength < 0 && len(res.TransferEncoding) == 0 && c.wire.ended.Load()
}

// garbled is a response that is not HTTP. Its text quotes what the server sent.
type garbled struct{ err error }

func (g *garbled) Error() string { return "the response is not HTTP: " + g.err.Error() }
func (g *garbled) Unwrap() error { return g.err }

// cause puts the end of reading into words.
func (c *h1) cause(err error, where string) error {
	switch {
	case c.got == nil:
		return &garbled{err}
	case errors.Is(c.got, io.EOF):
		return fmt.Errorf("the server closed the connection %s", where)
	}
	return c.got
}

// readBody reads the body of a response to its end, or to the limit. sent is when the request was.
func readBody(res *http.Response, r *request, sent int64) (*reply, error) {
	a := &reply{status: res.StatusCode, header: res.Header}
	if res.ContentLength > r.limit && !r.cut && r.method != http.MethodHead {
		a.tooLarge = true
		return a, nil
	}
	if r.stream.streamed(res, r) {
		return r.stream.pump(res, r, sent)
	}
	room := int64(512)
	if res.ContentLength >= 0 && r.method != http.MethodHead {
		room = min(res.ContentLength, 1<<20-1) + 1
	}
	b := make([]byte, 0, room)
	for {
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		n, err := res.Body.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if int64(len(b)) > r.limit {
			a.tooLarge = !r.cut
			a.cut = r.cut
			a.body = b[:r.limit]
			return a, nil
		}
		switch err {
		case nil:
		case io.EOF:
			a.body = b
			return a, nil
		default:
			return nil, err
		}
	}
}

// appendHead appends the request line and headers, those of the guest in the guest's order.
func (r *request) appendHead(b []byte) []byte {
	b = append(append(b, r.method...), ' ')
	b = append(append(b, r.url.RequestURI()...), " HTTP/1.1\r\nHost: "...)
	b = append(append(b, r.host...), "\r\n"...)
	for _, f := range r.fields {
		b = append(append(b, f.name...), ": "...)
		b = append(append(b, f.value...), "\r\n"...)
	}
	if r.hasLength() {
		b = append(b, "Content-Length: "...)
		b = append(strconv.AppendInt(b, int64(len(r.body)), 10), "\r\n"...)
	}
	return append(b, "\r\n"...)
}

// hasLength tells whether the length of the body is said; methods for which a body has no meaning
// do without when there is none (RFC 9110, section 8.6).
func (r *request) hasLength() bool {
	switch r.method {
	case http.MethodPost, http.MethodPut, http.MethodPatch:
		return true
	}
	return len(r.body) > 0
}

// reader is the body as HTTP/2 wants it.
func (r *request) reader() io.ReadCloser {
	if len(r.body) == 0 {
		return http.NoBody
	}
	return io.NopCloser(bytes.NewReader(r.body))
}
