package effect

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect/transport"
)

// Proxy says which calls go through a proxy.
type Proxy = transport.Proxy

// ProxyFromEnvironment returns the proxy that HTTPS_PROXY, HTTP_PROXY and NO_PROXY name, in upper or lower case.
func ProxyFromEnvironment() Proxy { return transport.ProxyFromEnvironment() }

// ClientOptions says how servers are reached. The zero value serves. The answer of a call that the Policy refuses has the
// text of its error.
type ClientOptions = transport.Options

// Client carries out http calls. It keeps connections open between calls, and repeats nothing by itself. It may be used
// concurrently.
type Client struct {
	transport *transport.Client
	secrets   func() []flawless.OpenSecret // nil is none
	streams   streams
}

// NewClient returns a client. It uses no proxy but that of the options, whatever the environment says. secrets returns all
// secrets, whose values replace their placeholders on the wire; nil is none. It may be called concurrently.
func NewClient(o ClientOptions, secrets func() []flawless.OpenSecret) *Client {
	return &Client{secrets: secrets, transport: transport.New(o)}
}

// Close closes the connections that carry no call. Those that carry one are closed when it is answered, and calls made
// later keep none open.
func (c *Client) Close() {
	c.streams.close()
	c.transport.Close()
}

// endless is a deadline that never comes.
const endless = 100 * 365 * 24 * time.Hour

// Perform carries out one attempt at an http call: one exchange and, if the call is idempotent, one for each
// redirect. It never sends a request twice.
func (c *Client) Perform(ctx context.Context, t Attempt) Result {
	r, err := t.request()
	if err != nil {
		return Result{Outcome: NotSent, Answer: ErrorAnswer(t.Call.N, kindInvalid, err.Error()), Text: err.Error(), Reason: kindInvalid}
	}
	r.complete(t.Run, t.Call.N)
	r.Sending = t.Sending
	if t.Within > 0 {
		r.Latest = time.Now().Add(t.Within)
	}
	if r.streamed {
		return c.begin(ctx, t, r)
	}
	return c.carryOut(ctx, t, r)
}

// carryOut makes the exchanges of an attempt. Those of a stream have no deadline: the stream ends ctx instead.
func (c *Client) carryOut(ctx context.Context, t Attempt, r *request) Result {
	deadline := time.Now().Add(r.timeout)
	stages := make(transport.Trail, 0, 3)
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
			f.Sent = f.Sent || hop > 0
			stages.Add("failed", time.Now().UnixNano())
			return r.failed(t, f, stages)
		}
		stages.Add("answered", time.Now().UnixNano())
		if hop < r.redirects {
			if next := r.redirected(a); next != nil {
				r = next
				continue
			}
		}
		return r.answered(t, a, stages)
	}
}

// request returns a copy of the parsed call, which the attempt may change.
func (t *Attempt) request() (*request, error) {
	known := t.Policy.request
	if known == nil {
		var err error
		if known, err = parseHTTP(t.Call); err != nil {
			return nil, err
		}
	}
	r := *known
	r.Fields, r.Body = slices.Clone(r.Fields), t.Call.Body
	return &r, nil
}

// exchange carries out one exchange. Secrets replace their placeholders on the way out, and placeholders replace
// secrets on the way back.
func (c *Client) exchange(ctx context.Context, deadline time.Time, r *request, seed []byte, t *transport.Trail) (*transport.Reply, *transport.Fault) {
	v := c.veil(r.Server(), seed)
	wire, err := v.reveal(r)
	if err != nil {
		return nil, &transport.Fault{Reason: "policy", Err: err}
	}
	if s := r.stream; s != nil {
		s.asked, s.veil = r, v
		wire.Stream = s.receive(wire)
	}
	a, f := c.transport.Exchange(ctx, deadline, &wire.Request, t)
	r.explain(f)
	v.hide(a, f)
	return a, f
}

// explain words the errors of package transport that mean something else for a call.
func (r *request) explain(f *transport.Fault) {
	if f == nil {
		return
	}
	var cancelled *transport.Cancelled
	switch {
	case errors.As(f.Err, &cancelled):
		f.Err = fmt.Errorf("the engine abandoned the call: %w", cancelled.Cause)
	case errors.Is(f.Err, transport.ErrLate):
		f.Err = errors.New("no connection was made before the server may forget its idempotency key")
	case errors.Is(f.Err, transport.ErrDeadline):
		f.Err = fmt.Errorf("it took longer than %v", r.timeout)
	}
}

func (r *request) failed(t Attempt, f *transport.Fault, stages transport.Trail) Result {
	if !f.Sent {
		text := "not sent: " + f.Err.Error()
		may := passes(f.Reason)
		return Result{Outcome: NotSent, Text: text, Again: r.again(t.N, NotSent, 0, may), Passes: may, Reason: f.Reason, Stages: stages,
			Answer: errorAnswer(t.Call.N, kindNotSent, text, f.Reason, 0)}
	}
	text := "sent, and no complete response came: " + f.Err.Error()
	if f.Status != 0 {
		text = fmt.Sprintf("sent, and its response with status %d was cut off: %v", f.Status, f.Err)
	}
	reason := ""
	if f.Reason == "timeout" {
		reason = f.Reason
	}
	may := passes(kindUnknown)
	return Result{Outcome: Unknown, Text: text, Again: r.again(t.N, Unknown, 0, may), Passes: may, Reason: reason, Status: f.Status, Stages: stages,
		Answer: UnknownAnswer(t.Run, t.Call, r.Idempotent, text, reason, f.Status)}
}

func (r *request) answered(t Attempt, a *transport.Reply, stages transport.Trail) Result {
	text := strconv.Itoa(a.Status)
	if s := http.StatusText(a.Status); s != "" {
		text += " " + s
	}
	if a.TooLarge {
		text = fmt.Sprintf("%s, with a response longer than the limit of %d bytes", text, r.Limit)
		return Result{Outcome: Answered, Text: text, Stages: stages, Status: a.Status, Reason: kindTooLarge,
			Answer: errorAnswer(t.Call.N, kindTooLarge, text, "", a.Status)}
	}
	return Result{Outcome: Answered, Text: text, Stages: stages, Again: r.again(t.N, Answered, a.Status, false), Status: a.Status,
		After:  after(a.Header, time.Now()),
		Answer: flawless.Answer{Call: t.Call.N, Head: responseHead(a.Status, a.Header, r.URL.String()), Body: a.Body}}
}
