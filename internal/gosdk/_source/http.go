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
	Method string // "" means GET
	URL    string // absolute, http or https
	Header Header // may be nil; the engine adds an Idempotency-Key if there is none
	Body   []byte // may be nil; at most 64 MiB; neither changed nor kept
}

// Response is the response to a request, whatever its status.
type Response struct {
	Status int
	Header Header
	Body   []byte // owned by the caller; nil with [Stream]
	URL    string // of the last request, after redirects
	// Stream is the body as it arrives if the call has the option [Stream], otherwise nil. Close it unless you
	// read it to its end. One goroutine at a time may read it; any may close it.
	Stream io.ReadCloser
}

// OK reports whether the status is 2xx.
func (r *Response) OK() bool { return r.Status >= 200 && r.Status < 300 }

// Do sends an HTTP request through the engine and waits for the whole response. Other goroutines of the run continue
// in the meantime. The wait survives crashes of the server, and in a replay the answer comes from the log. Do may be
// called concurrently.
//
// Every status is an answer, including 404 and 503. The error is a [*NotSent], [*Interrupted], [*TooLarge] or
// [*CallError], [ErrOutside], or the cause of ctx.
//
// If a crash interrupts a request, an idempotent one is sent again under the same Idempotency-Key. Any other request
// that may have reached the server is not: its outcome is unknown, and the run waits for a person to decide, unless
// an option ([Idempotent], [Confirm], [TellInterrupted]) says otherwise.
//
// A deadline of ctx that is earlier than [Timeout] becomes the timeout of the request. If ctx ends while the request
// is open, Do withdraws it. What Do returns then depends on how far the request has come:
//
//   - Not begun, or waiting for its next attempt: it is never sent, and Do returns the cause of ctx.
//   - In flight and idempotent: it is abandoned, and Do returns the cause of ctx.
//   - In flight and not idempotent: it may take effect, so Do waits for its outcome and returns that, although ctx has
//     ended. Code that got an error instead would send it a second time.
//
// If ctx has ended before Do is called, nothing is sent. Once the deadline of ctx has passed, Do returns the cause of
// ctx rather than a [*NotSent] or [*CallError] for a request that was not sent in time, or for an idempotent one that
// got no response.
//
// In a step of a saga, an idempotent request in flight is not abandoned when ctx ends: Do waits until the attempt has
// ended, for at most [Timeout], so that the undo of the step cannot overtake it. A deadline of ctx does not shorten
// that attempt.
//
//go:noinline
func Do(ctx context.Context, req Request, opts ...Option) (*Response, error) {
	return do(ctx, &req, site.At(site.ReturnTo(unsafe.Pointer(&ctx)), 1), opts)
}

// Get is [Do] with method GET.
//
//go:noinline
func Get(ctx context.Context, url string, opts ...Option) (*Response, error) {
	return do(ctx, &Request{URL: url}, site.At(site.ReturnTo(unsafe.Pointer(&ctx)), 1), opts)
}

// Post is [Do] with method POST. It is not idempotent unless an option says so.
//
//go:noinline
func Post(ctx context.Context, url, contentType string, body []byte, opts ...Option) (*Response, error) {
	return do(ctx, post(url, contentType, body), site.At(site.ReturnTo(unsafe.Pointer(&ctx)), 1), opts)
}

// GetJSON sends a GET request and decodes the JSON response into T. The error is a [*StatusError] if the status is
// not 2xx, any error of [Do], or a decoding error. An empty response gives the zero value of T.
func GetJSON[T any](ctx context.Context, url string, opts ...Option) (T, error) {
	var out T
	err := doJSON(ctx, &Request{URL: url, Header: Header{{"Accept", "application/json"}}}, &out, site.Caller(1), opts)
	return out, err
}

// PostJSON sends in as JSON with method POST and decodes the JSON response into T. The error is a [*StatusError] if
// the status is not 2xx, any error of [Do], or an encoding or decoding error. An empty response gives the zero value
// of T. Like [Post], it is not idempotent unless an option says so.
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

// attempt makes one call for a request. It also returns the number of the call, or 0 if it made none.
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
