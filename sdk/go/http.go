package flawless

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"unsafe"

	"github.com/flawless-engine/flawless/sdk/go/internal/site"
	"github.com/flawless-engine/flawless/sdk/go/internal/wire"
)

// Request is an HTTP request.
type Request struct {
	Method string // GET where it is empty
	URL    string // absolute, http or https
	Header Header // may be nil; an Idempotency-Key is added by the engine unless there is one
	Body   []byte // may be nil; not changed, not kept
}

// Response is the whole response to a request, whatever its status.
type Response struct {
	Status int
	Header Header
	Body   []byte // the caller's to keep and change; nil with [Stream]
	URL    string // where it came from, after redirects
	// Stream has the body as it comes where the call has the option [Stream], else it is nil. Close it, unless
	// it was read to its end. It may be read by one goroutine at a time, and closed by any.
	Stream io.ReadCloser
}

// OK tells whether the status is 2xx.
func (r *Response) OK() bool { return r.Status >= 200 && r.Status < 300 }

// Do makes an HTTP request through the engine and waits for the whole response. Other goroutines of
// the run go on meanwhile; the wait survives a crash of the server, and in a replay the answer comes
// from the log.
//
// Every status is an answer, also 404 and 503. Errors are [*NotSent], [*Interrupted], [*TooLarge], [*CallError],
// [ErrOutside], or [context.Cause] of ctx.
//
// A deadline of ctx is the time-out of the request, where it is earlier than [Timeout]. When ctx ends
// while the request is open, Do withdraws it. One that was not begun, or waits for its next try, never
// begins, and an idempotent one is given up: Do returns the cause of ctx. One that is under way and
// not idempotent may take effect, so Do waits for its outcome and returns that, although ctx has ended:
// code that was told of ctx's end instead would send it a second time. If ctx has ended before Do is
// called, nothing is sent.
//
// When the deadline of ctx has passed, a request that was not sent in time, or an idempotent one without a
// response, returns the cause of ctx, not a [*NotSent] or [*CallError].
//
// In a saga's step an idempotent request that is under way is not given up when ctx ends: Do waits until the
// try has ended, for at most [Timeout], so that the step's undo does not overtake it. A deadline of ctx does
// not shorten the try.
//
// Do may be called concurrently.
//
//go:noinline
func Do(ctx context.Context, req Request, opts ...Option) (*Response, error) {
	return do(ctx, &req, site.At(site.ReturnTo(unsafe.Pointer(&ctx)), 1), opts)
}

// Get is [Do] with the method GET.
//
//go:noinline
func Get(ctx context.Context, url string, opts ...Option) (*Response, error) {
	return do(ctx, &Request{URL: url}, site.At(site.ReturnTo(unsafe.Pointer(&ctx)), 1), opts)
}

// Post is [Do] with the method POST. It is not idempotent unless the options say so.
//
//go:noinline
func Post(ctx context.Context, url, contentType string, body []byte, opts ...Option) (*Response, error) {
	return do(ctx, post(url, contentType, body), site.At(site.ReturnTo(unsafe.Pointer(&ctx)), 1), opts)
}

// GetJSON is [Get] of a JSON document. A status other than 2xx is a [*StatusError].
func GetJSON[T any](ctx context.Context, url string, opts ...Option) (T, error) {
	var out T
	err := doJSON(ctx, &Request{URL: url, Header: Header{{"Accept", "application/json"}}}, &out, site.Caller(1), opts)
	return out, err
}

// PostJSON sends in as JSON with the method POST and decodes the JSON that comes back. An empty
// response is the zero value of T; a status other than 2xx is a [*StatusError].
func PostJSON[T any](ctx context.Context, url string, in any, opts ...Option) (T, error) {
	var out T
	body, err := encode(in)
	if err != nil {
		return out, fmt.Errorf("POST %s: the body cannot be written as JSON: %w", withoutUser(url), err)
	}
	req := post(url, "application/json", body)
	req.Header.Add("Accept", "application/json")
	err = doJSON(ctx, req, &out, site.Caller(1), opts)
	return out, err
}

func post(url, contentType string, body []byte) *Request {
	return &Request{Method: "POST", URL: url, Header: Header{{"Content-Type", contentType}}, Body: body}
}

func doJSON(ctx context.Context, req *Request, out any, at string, opts []Option) error {
	resp, err := do(ctx, req, at, append(opts[:len(opts):len(opts)], wholly()))
	if err != nil {
		return err
	}
	if !resp.OK() {
		return &StatusError{Method: req.method(), URL: req.URL, Status: resp.Status, Body: resp.Body}
	}
	if len(resp.Body) == 0 {
		return nil
	}
	if err := json.Unmarshal(resp.Body, out); err != nil {
		return fmt.Errorf("%s %s: the response does not fit %T: %w", req.method(), withoutUser(req.URL), out, err)
	}
	return nil
}

func (r *Request) method() string {
	if r.Method == "" {
		return "GET"
	}
	return r.Method
}

func do(ctx context.Context, req *Request, at string, opts []Option) (*Response, error) {
	o := gather(ctx, opts)
	if p := o.problem(); p != "" {
		return nil, &CallError{Method: req.method(), URL: req.URL, Kind: KindInvalid, Message: p}
	}
	var resp *Response
	var err error
	if o.confirm != nil {
		resp, err = confirmed(ctx, req, o, at)
	} else {
		resp, _, err = attempt(ctx, req, &o, at)
	}
	if o.stream && resp != nil && resp.Stream == nil {
		resp.whole()
	}
	return resp, err
}

// attempt makes one call of a request, and returns its number too, 0 where it was not made.
func attempt(ctx context.Context, req *Request, o *options, at string) (*Response, int, error) {
	step := stepOf(ctx)
	if err := o.within(ctx, step != nil && o.idempotent(req.method())); err != nil {
		return nil, 0, err
	}
	if err := step.enter(); err != nil {
		return nil, 0, err
	}
	defer step.leave()
	if err := checkBody(req.method(), req.URL, req.Body); err != nil {
		return nil, 0, err
	}
	var room [512]byte
	var h wire.Head
	n, body, err := httpExchange(ctx, req.head(room[:0], o, at), req.Body, step != nil, &h)
	if err != nil {
		return nil, n, err
	}
	if h.Failure != nil {
		if err := overdue(ctx, h.Failure); err != nil {
			return nil, n, err
		}
		if key := req.Header.Get("Idempotency-Key"); key != "" {
			h.Failure.Key = key
		}
		return nil, n, callError(h.Failure, req.method(), req.URL, n)
	}
	resp := &Response{Status: h.Status, Header: h.Header, Body: body, URL: h.URL}
	if h.Stream {
		resp.Body, resp.Stream = nil, newResponseStream(ctx, req, n, at)
	}
	return resp, n, nil
}

// head appends the head of the call to b.
func (r *Request) head(b []byte, opts *options, at string) []byte {
	b = wire.AppendString(append(b, `{"method":`...), r.method())
	b = wire.AppendString(append(b, `,"url":`...), r.URL)
	if len(r.Header) > 0 {
		b = wire.AppendHeader(append(b, `,"headers":`...), r.Header)
	}
	if opts.any() {
		o := wire.Object{B: append([]byte(nil), b...)} // a copy, so that b itself stays on the stack
		opts.write(&o)
		b = o.B
	}
	if at != "" {
		b = wire.AppendString(append(b, `,"at":`...), at)
	}
	return append(b, '}')
}
