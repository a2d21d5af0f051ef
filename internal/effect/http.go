package effect

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/flawless-engine/flawless"
)

// ClientOptions says how the outside is reached. The zero value serves.
type ClientOptions struct {
	// TLS is the basis for TLS connections; nil is the machine's certificate authorities.
	TLS *tls.Config

	// Dial replaces the way TCP connections are made. It is given a name and port, or an address
	// where there is a Policy.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)

	// Policy is asked about each address that a name stands for before a connection to it is made.
	// An error refuses the address; where all are refused, the call is not sent, for reason
	// `policy`, and the guest is told the error's text. It may be called concurrently.
	Policy func(host string, addr netip.AddrPort) error

	// Proxy says which calls go through a proxy. With one the Policy is asked about those addresses of a
	// name that this machine knows, and not about the proxy's own.
	Proxy Proxy

	// Idle is the number of connections kept open without a request; 0 is 256.
	Idle int

	// Connections is how many connections may be open at a time; calls that need one more wait, within
	// their time-out. 0 is unlimited.
	Connections int

	// Secrets returns all secrets, whose values take the place of their placeholders on the wire.
	// Nil is none. It may be called concurrently.
	Secrets func() []flawless.OpenSecret
}

// Client carries out http calls. It keeps connections open between calls, and repeats nothing by
// itself. It may be used concurrently.
type Client struct {
	options ClientOptions
	tls     *tls.Config
	route   func(key) (*url.URL, error)
	upgrade *http.Transport // makes HTTP/2 of TLS connections that agreed on it
	pool    *pool
	quota   *quota
	streams streams
}

// NewClient returns a client. No proxy is used but that of the options, whatever the environment says.
func NewClient(o ClientOptions) *Client {
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

// Close closes the connections that carry no request. Those that carry one are closed when it is
// answered, and calls made later keep none open.
func (c *Client) Close() {
	c.streams.close()
	c.pool.close()
}

// reply is a complete response, or the head of one that is too large.
type reply struct {
	status   int
	header   http.Header
	body     []byte
	tooLarge bool
	cut      bool // there was more
}

// fault is an exchange without a complete response.
type fault struct {
	sent   bool   // the outside can have noticed
	reason string // where nothing was sent: name, dial, tls, policy, headers, timeout
	status int    // seen before the response was cut off
	err    error
}

// endless is a deadline that never comes.
const endless = 100 * 365 * 24 * time.Hour

// trail collects the stages of a try.
type trail []flawless.Stage

func (t *trail) add(name string, at int64) { *t = append(*t, flawless.Stage{Name: name, At: at}) }

// link is a connection that can carry a request.
type link interface {
	// exchange sends the request once and reads its response. It returns by the deadline, or soon
	// after ctx is done. Only a nil fault or one with sent unset leaves nothing in doubt.
	exchange(ctx context.Context, deadline time.Time, r *request, t *trail) (*reply, *fault)

	// drop gives the connection back without an exchange.
	drop()
}

// Perform carries out one try of an http call: one exchange, and where the call is idempotent those
// that redirects ask for. It never sends a request twice.
func (c *Client) Perform(ctx context.Context, t Try) Result {
	r, err := t.understood()
	if err != nil {
		return Result{Outcome: NotSent, Answer: ErrorAnswer(t.Call.N, kindInvalid, err.Error()), Text: err.Error(), Reason: kindInvalid}
	}
	r.complete(t.Run, t.Call.N)
	if t.Within > 0 {
		r.latest = time.Now().Add(t.Within)
	}
	if r.streams {
		return c.begin(ctx, t, r)
	}
	return c.carryOut(ctx, t, r)
}

// carryOut makes the exchanges of a try. Those of a stream have no deadline of their own: it ends ctx.
func (c *Client) carryOut(ctx context.Context, t Try, r *request) Result {
	deadline := time.Now().Add(r.timeout)
	stages := make(trail, 0, 3)
	if r.stream != nil {
		r.stream.trail = &stages
		deadline = time.Now().Add(endless)
	}
	for hop := 0; ; hop++ {
		a, f := c.exchange(ctx, deadline, r, t.Seed, &stages)
		if r.stream != nil {
			r.stream.finish(a, f)
		}
		if f != nil {
			f.sent = f.sent || hop > 0
			stages.add("failed", time.Now().UnixNano())
			return r.failed(t, f, stages)
		}
		stages.add("answered", time.Now().UnixNano())
		if hop < r.redirects {
			if next := r.redirected(a); next != nil {
				r = next
				continue
			}
		}
		return r.answered(t, a, stages)
	}
}

// understood returns a request of the try's own.
func (t *Try) understood() (*request, error) {
	known := t.Policy.request
	if known == nil {
		var err error
		if known, err = parseHTTP(t.Call); err != nil {
			return nil, err
		}
	}
	r := *known
	r.fields, r.body = slices.Clone(r.fields), t.Call.Body
	return &r, nil
}

// exchange carries out one exchange, in which secrets take the place of their placeholders on the
// way out, and the other way round on the way back.
func (c *Client) exchange(ctx context.Context, deadline time.Time, r *request, seed []byte, t *trail) (*reply, *fault) {
	v := c.veil(r.key(), seed)
	wire, err := v.reveal(r)
	if err != nil {
		return nil, &fault{reason: "policy", err: err}
	}
	if wire.stream != nil {
		wire.stream.asked, wire.stream.veil = r, v
	}
	a, f := c.once(ctx, deadline, wire, t)
	v.hide(a, f)
	return a, f
}

// once carries out one exchange. A kept connection that turns out to be dead before it took a byte
// is exchanged for a new one.
func (c *Client) once(ctx context.Context, deadline time.Time, r *request, t *trail) (*reply, *fault) {
	connect := deadline
	if !r.latest.IsZero() && r.latest.Before(deadline) {
		connect = r.latest
	}
	for fresh := false; ; fresh = true {
		l, kept, f := c.pool.take(ctx, connect, r.key(), r.idempotent, fresh)
		if f != nil {
			return nil, f.explain(ctx, r)
		}
		if r.tooLate() {
			l.drop()
			return nil, (&fault{reason: "timeout", err: os.ErrDeadlineExceeded}).explain(ctx, r)
		}
		if ctx.Err() != nil {
			l.drop()
			return nil, (&fault{}).explain(ctx, r)
		}
		t.add("connected", time.Now().UnixNano())
		a, f := l.exchange(ctx, deadline, r, t)
		if f == nil {
			return a, nil
		}
		if f = f.explain(ctx, r); f.sent || !kept || f.reason != "dial" {
			return nil, f
		}
		*t = (*t)[:len(*t)-1]
	}
}

// explain puts the end of time and of ctx into words.
func (f *fault) explain(ctx context.Context, r *request) *fault {
	switch {
	case ctx.Err() != nil && !errors.Is(context.Cause(ctx), context.DeadlineExceeded):
		f.reason, f.err = "timeout", fmt.Errorf("the engine gave it up: %w", context.Cause(ctx))
	case !f.sent && f.reason == "timeout" && r.tooLate():
		f.err = errors.New("no connection was made before the server may forget its idempotency key")
	case errors.Is(f.err, os.ErrDeadlineExceeded) || errors.Is(f.err, context.DeadlineExceeded) || ctx.Err() != nil:
		f.reason, f.err = "timeout", fmt.Errorf("it took longer than %v", r.timeout)
	}
	return f
}

// tooLate tells whether nothing of the request may be sent any more.
func (r *request) tooLate() bool { return !r.latest.IsZero() && !time.Now().Before(r.latest) }

func (r *request) failed(t Try, f *fault, stages trail) Result {
	if !f.sent {
		text := "not sent: " + f.err.Error()
		may := passes(f.reason)
		return Result{Outcome: NotSent, Text: text, Again: r.again(t.N, NotSent, 0, may), Passes: may, Reason: f.reason, Stages: stages,
			Answer: errorAnswer(t.Call.N, kindNotSent, text, f.reason, 0)}
	}
	text := "sent, and no complete response came: " + f.err.Error()
	if f.status != 0 {
		text = fmt.Sprintf("sent, and its response with status %d was cut off: %v", f.status, f.err)
	}
	reason := ""
	if f.reason == "timeout" {
		reason = f.reason
	}
	may := passes(kindUnknown)
	return Result{Outcome: Unknown, Text: text, Again: r.again(t.N, Unknown, 0, may), Passes: may, Reason: reason, Status: f.status, Stages: stages,
		Answer: InDoubtAnswer(t.Run, t.Call, r.idempotent, text, reason, f.status)}
}

func (r *request) answered(t Try, a *reply, stages trail) Result {
	text := strconv.Itoa(a.status)
	if s := http.StatusText(a.status); s != "" {
		text += " " + s
	}
	if a.tooLarge {
		text = fmt.Sprintf("%s, with a response longer than the limit of %d bytes", text, r.limit)
		return Result{Outcome: Answered, Text: text, Stages: stages, Status: a.status, Reason: kindTooLarge,
			Answer: errorAnswer(t.Call.N, kindTooLarge, text, "", a.status)}
	}
	return Result{Outcome: Answered, Text: text, Stages: stages, Again: r.again(t.N, Answered, a.status, false), Status: a.status,
		After:  after(a.header, time.Now()),
		Answer: flawless.Answer{Call: t.Call.N, Head: responseHead(a.status, a.header, r.url.String()), Body: a.body}}
}
