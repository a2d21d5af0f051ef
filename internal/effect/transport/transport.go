package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/flawless-engine/flawless"
)

// Options says how servers are reached. The zero value serves.
type Options struct {
	// TLS is the basis for TLS connections; nil is the machine's certificate authorities.
	TLS *tls.Config

	// Dial replaces the way TCP connections are made. It is given a name and port, or an address if there is a Policy.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)

	// Policy is asked about each address of a name before a connection to it is made. An error refuses the address.
	// If all are refused, the request is not sent, for reason `policy`. It may be called concurrently.
	Policy func(host string, addr netip.AddrPort) error

	// Proxy says which requests go through a proxy. The Policy is then asked about those addresses of a name that
	// this machine knows, and not about the proxy's own.
	Proxy Proxy

	// Idle is how many connections are kept open without a request; 0 is 256.
	Idle int

	// Connections is how many connections may be open at a time; requests that need one more wait until their
	// deadline. 0 is unlimited.
	Connections int
}

// Client sends requests. It keeps connections open between them, and repeats nothing. It may be used concurrently.
type Client struct {
	options Options
	tls     *tls.Config
	route   func(Server) (*url.URL, error)
	upgrade *http.Transport // makes HTTP/2 connections of TLS connections that agreed on it
	pool    *pool
	quota   *quota
}

// New returns a client. It uses no proxy but that of the options, whatever the environment says.
func New(o Options) *Client {
	c := &Client{options: o, tls: &tls.Config{}, route: o.Proxy.route(), upgrade: newUpgrade()}
	if o.TLS != nil {
		c.tls = o.TLS.Clone()
	}
	if c.tls.NextProtos == nil {
		c.tls.NextProtos = []string{"h2", "http/1.1"}
	}
	if c.tls.ClientSessionCache == nil {
		c.tls.ClientSessionCache = tls.NewLRUClientSessionCache(0)
	}
	c.quota = newQuota(o.Connections)
	c.pool = newPool(o.Idle, c.dial)
	c.pool.scarce = c.quota.scarce
	return c
}

// Close closes the connections that carry no request. Those that carry one are closed when it is answered, and
// requests that are sent later keep none open.
func (c *Client) Close() { c.pool.close() }

// Server identifies a server.
type Server struct{ Scheme, Host, Port string }

// String returns the server in the form in which users write it: the host alone for https and its usual port.
func (s Server) String() string {
	name := s.Host
	if strings.Contains(name, ":") {
		name = "[" + name + "]"
	}
	switch {
	case s.Scheme == "https" && s.Port == "443":
		return name
	case s.Scheme == "https":
		return name + ":" + s.Port
	case s.Port == "80":
		return "http://" + name
	}
	return "http://" + name + ":" + s.Port
}

// Field is a header field.
type Field struct{ Name, Value string }

// Request is a request as it is sent. Content-Length and Host are not among the fields.
type Request struct {
	Method     string
	URL        *url.URL // http or https, without user and fragment, host in ASCII
	Host       string   // value of the Host header
	Fields     []Field  // in the order in which they are sent, names canonical
	Body       []byte
	Idempotent bool      // it may use a connection that has been idle for long: the loss of such a request does no harm
	Latest     time.Time // its first byte must leave before; zero is no limit
	Limit      int64     // of the body of the response, in bytes
	Cut        bool      // a longer body is cut instead of refused

	// Sending is called right before the first byte is written, and before each further write. After an error nothing more
	// is written, and the connection is cut off. Nil allows everything. It may be called concurrently with Stream.
	Sending func(first bool) error

	// Stream is given each response before its body is read, and the time at which the request was sent, in Unix
	// nanoseconds. It reads the body itself and returns true, or leaves that to the client. Nil leaves all.
	Stream func(res *http.Response, sent int64) (reply *Reply, streamed bool, err error)
}

// Server returns the server that the request goes to.
func (r *Request) Server() Server {
	port := r.URL.Port()
	switch {
	case port != "":
	case r.URL.Scheme == "https":
		port = "443"
	default:
		port = "80"
	}
	return Server{Scheme: r.URL.Scheme, Host: strings.ToLower(r.URL.Hostname()), Port: port}
}

// late reports whether the first byte of the request may no longer be sent.
func (r *Request) late() bool { return !r.Latest.IsZero() && !time.Now().Before(r.Latest) }

// Reply is a complete response, or the head of one that is too large.
type Reply struct {
	Status   int
	Header   http.Header
	Body     []byte
	TooLarge bool
	Cut      bool // there was more
}

// Fault is an exchange without a complete response.
type Fault struct {
	Sent   bool   // something was sent: the server can have noticed
	Reason string // "timeout"; or, if nothing was sent, also name, dial, tls, policy, headers
	Status int    // of a response that was cut off, 0 if none was seen
	Err    error
}

// Errors of faults with the reason "timeout", besides [Cancelled].
var (
	// ErrDeadline means that the deadline has passed.
	ErrDeadline = errors.New("the deadline has passed")
	// ErrLate means that there was no connection before Request.Latest.
	ErrLate = errors.New("there was no connection in time")
)

// ErrCutOff, as the cause of an ended context, cuts the exchange off: what the server has not received by then, it never
// receives. With any other cause, the system may still send what it was given.
var ErrCutOff = errors.New("it was cut off, because another server may repeat it now")

// Cancelled is the error of a fault with the reason "timeout" whose context was cancelled.
type Cancelled struct{ Cause error }

func (c *Cancelled) Error() string { return "cancelled: " + c.Cause.Error() }
func (c *Cancelled) Unwrap() error { return c.Cause }

// Trail collects the stages of an exchange: connected, sent.
type Trail []flawless.Stage

// Add adds a stage that was reached at a time in Unix nanoseconds.
func (t *Trail) Add(name string, at int64) { *t = append(*t, flawless.Stage{Name: name, At: at}) }

// link is a connection that can carry a request.
type link interface {
	// exchange sends the request once and reads its response. It returns by the deadline, or soon after ctx is done.
	// Only after a nil fault, or one with Sent unset, the outcome is known.
	exchange(ctx context.Context, deadline time.Time, r *Request, t *Trail) (*Reply, *Fault)

	// drop gives the connection back without an exchange.
	drop()
}

// Exchange sends a request once and returns its response. A kept connection that turns out to be dead before it took
// a byte is replaced by a new one.
func (c *Client) Exchange(ctx context.Context, deadline time.Time, r *Request, t *Trail) (*Reply, *Fault) {
	connect := deadline
	if !r.Latest.IsZero() && r.Latest.Before(deadline) {
		connect = r.Latest
	}
	for fresh := false; ; fresh = true {
		l, kept, f := c.pool.take(ctx, connect, r.Server(), r.Idempotent, fresh)
		if f != nil {
			return nil, f.classify(ctx, r)
		}
		if r.late() {
			l.drop()
			return nil, (&Fault{Reason: "timeout", Err: os.ErrDeadlineExceeded}).classify(ctx, r)
		}
		if ctx.Err() != nil {
			l.drop()
			return nil, (&Fault{}).classify(ctx, r)
		}
		t.Add("connected", time.Now().UnixNano())
		a, f := l.exchange(ctx, deadline, r, t)
		if f == nil {
			return a, nil
		}
		if f = f.classify(ctx, r); f.Sent || !kept || f.Reason != "dial" {
			return nil, f
		}
		*t = (*t)[:len(*t)-1]
	}
}

// classify replaces the many ways in which time runs out by the causes above.
func (f *Fault) classify(ctx context.Context, r *Request) *Fault {
	switch {
	case ctx.Err() != nil && !errors.Is(context.Cause(ctx), context.DeadlineExceeded):
		f.Reason, f.Err = "timeout", &Cancelled{context.Cause(ctx)}
	case !f.Sent && f.Reason == "timeout" && r.late():
		f.Err = ErrLate
	case errors.Is(f.Err, os.ErrDeadlineExceeded) || errors.Is(f.Err, context.DeadlineExceeded) || ctx.Err() != nil:
		f.Reason, f.Err = "timeout", ErrDeadline
	}
	return f
}
