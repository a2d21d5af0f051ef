package flawless

import (
	"context"
	"math"
	"time"

	"github.com/flawless-engine/flawless/sdk/go/internal/wire"
)

// Option changes how a call is made. Pass options to [Do], [Get], [Post] and so on, or put them into a context with
// [With]. If two options contradict each other, the later one wins, and one passed to the call wins over one in the
// context.
type Option interface{ set(*options) }

type options struct {
	repeat    repeat
	timeout   time.Duration
	limit     int64
	tell      bool
	redirects int
	retry     Retry
	retryFor  time.Duration
	window    time.Duration
	confirm   func(ctx context.Context, key string) (Outcome, error)

	hasTimeout, hasLimit, hasRedirects, hasRetryFor, stream bool
}

// repeat says whether a call whose outcome is unknown may be made again.
type repeat int

const (
	byMethod repeat = iota
	always
	never
	withKey // for some time, under the same key
)

type optionFunc func(*options)

func (f optionFunc) set(o *options) { f(o) }

// idempotent reports whether a call with this method may be made again, by the rules of the engine.
func (o *options) idempotent(method string) bool {
	if o.repeat == always || o.repeat == never {
		return o.repeat == always
	}
	switch method {
	case "GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE":
		return true
	}
	return false
}

// Window is how long a server honours an Idempotency-Key, see [Within].
type Window time.Duration

// Within returns a [Window]: within d, a server that gets a request again under the same Idempotency-Key does not
// carry it out a second time. Stripe, for instance, documents 24 hours.
func Within(d time.Duration) Window { return Window(d) }

// Idempotent declares that the request may safely reach the server twice: if the outcome is unknown, the engine sends
// it again under the same Idempotency-Key. This is the default for GET, HEAD, OPTIONS, PUT, DELETE and TRACE.
//
// With [Within], it declares instead that the server honours the key for that time, counted from the first attempt
// that may have reached it. The engine sends the request again within that time and never after it: then the run
// waits for a person to decide, or the call returns [*Interrupted] if it has [TellInterrupted]. In all other respects
// the request is treated as not idempotent. In particular, if its context ends while its outcome is unknown, the call
// waits for the outcome, because the same request made as a new call would have another key. A window has no effect
// on methods that are idempotent by default. If it is not positive, the call returns an error of kind [KindInvalid].
func Idempotent(within ...Window) Option {
	return optionFunc(func(o *options) {
		o.repeat, o.window = always, 0
		for _, w := range within {
			o.repeat, o.window = withKey, time.Duration(w)
		}
	})
}

// NotIdempotent declares that the request must never reach the server twice: if the outcome is unknown, the engine
// does not send it again, and the run waits for a person to decide, or the call returns [*Interrupted] if it has
// [TellInterrupted]. This is the default for POST and PATCH.
func NotIdempotent() Option { return optionFunc(func(o *options) { o.repeat = never }) }

// TellInterrupted makes the call return [*Interrupted] if the outcome of a request that is not idempotent is unknown,
// instead of making the run wait for a person.
func TellInterrupted() Option { return optionFunc(func(o *options) { o.tell = true }) }

// Timeout limits each attempt of the call, from its start to the last byte of the response. It is rounded up to
// milliseconds; the default is 120 seconds. If d is not positive, the call returns an error of kind [KindInvalid].
//
// A deadline of the context that is earlier has the same effect. It covers all attempts together, and the call
// returns when it passes: see [Do], also for the exception in a step of a saga.
func Timeout(d time.Duration) Option {
	return optionFunc(func(o *options) { o.timeout, o.hasTimeout = d, true })
}

// Limit sets the maximum length of the response body in bytes; the default is 10 MiB. A longer body is not cut: the
// call returns [*TooLarge]. The server has processed the request by then, so code must not make it again. If bytes is
// not positive, the call returns an error of kind [KindInvalid].
func Limit(bytes int64) Option {
	return optionFunc(func(o *options) { o.limit, o.hasLimit = bytes, true })
}

// RetryFor limits how long the engine retries the call, counted from the start of the first attempt. It applies to a
// call that failed before it was sent, or that is idempotent. Without it, the operator's setting for the host, the
// module or the server applies: 24 hours by default. With 0, a failed call is not retried. Together with a [Retry],
// both limits apply. If d is negative, the call returns an error of kind [KindInvalid].
func RetryFor(d time.Duration) Option {
	return optionFunc(func(o *options) { o.retryFor, o.hasRetryFor = d, true })
}

// Redirects limits how many redirects are followed; the default is 10. With 0, and for requests that are not
// idempotent, a 3xx response is the answer. If n is negative, the call returns an error of kind [KindInvalid].
func Redirects(n int) Option {
	return optionFunc(func(o *options) { o.redirects, o.hasRedirects = n, true })
}

// Retry is an [Option] that replaces the engine's own retry policy. The engine tries a call again if nothing of it
// was sent, if its outcome is unknown and it may be repeated, or if the response has one of the Statuses. Without a
// Retry it also retries, with waits that grow to five minutes and for as long as [RetryFor] or the operator says, but
// never because of a status. Failures that cannot go away are never retried: a malformed request, a host that policy
// forbids, an unknown secret.
//
// Each attempt is in the log of the run. If a response asks for a later attempt with Retry-After, the longer of that
// and the policy's wait applies; if it asks for more than a day, or more than is left of [RetryFor], the response is
// the answer. A call that is not idempotent is never repeated while its outcome is unknown. The default Statuses are
// 429, 502, 503 and 504, but for a call that is not idempotent only 429 and 503: behind a gateway that answers 502 or
// 504 it may have taken effect.
type Retry struct {
	Attempts int           // maximum number of attempts, up to 1000; 1 means no retries, 0 means no Retry at all
	Initial  time.Duration // wait before the second attempt, at most 24 hours
	Factor   float64       // factor by which each further wait grows, 1 to 100; 0 means the engine's default
	Max      time.Duration // longest wait, at most 24 hours; 0 means the engine's default
	Jitter   float64       // random share of each wait, 0 to 1
	Statuses []int         // statuses of responses to retry; none means the default above
}

func (r Retry) set(o *options) { o.retry = r }

type optionsKey struct{}

// With returns a context in which every call has the given options, in addition to those already in ctx. Use it to
// give options to libraries that call through package nethttp.
func With(ctx context.Context, opts ...Option) context.Context {
	before, _ := ctx.Value(optionsKey{}).([]Option)
	all := append(before[:len(before):len(before)], opts...)
	return context.WithValue(ctx, optionsKey{}, all)
}

// gather combines the options of ctx with opts.
func gather(ctx context.Context, opts []Option) options {
	before, _ := ctx.Value(optionsKey{}).([]Option)
	if len(before)+len(opts) == 0 {
		return options{}
	}
	var o options // in the heap
	for _, opt := range before {
		opt.set(&o)
	}
	for _, opt := range opts {
		opt.set(&o)
	}
	return o
}

// problem says what is wrong with the options, or returns "". It checks only what the head of a call cannot express,
// because it would mean the default or is not a number. The engine checks maximum values, in one place for all SDKs.
func (o *options) problem() string {
	r := &o.retry
	switch {
	case o.hasTimeout && o.timeout <= 0:
		return "the timeout is " + o.timeout.String() + "; pass a positive one, or none for the default"
	case o.hasLimit && o.limit <= 0:
		return "the limit of the response is not positive; pass a number of bytes, or none for the default"
	case o.repeat == withKey && o.window <= 0:
		return "the time within which the server honours the key is " + o.window.String() + "; pass a positive one"
	case o.hasRetryFor && o.retryFor < 0:
		return "the time for retries is " + o.retryFor.String() + "; pass 0 for no retries, or a positive time"
	case o.hasRedirects && o.redirects < 0:
		return "the number of redirects is negative; pass 0 to follow none"
	case r.Attempts < 0 || r.Initial < 0 || r.Max < 0 || !(r.Factor >= 0 && r.Factor <= math.MaxFloat64):
		return "a field of the retry is negative, or its factor is not a number"
	case !(r.Jitter >= 0 && r.Jitter <= math.MaxFloat64):
		return "the jitter of the retry is negative or not a number"
	}
	return ""
}

// any reports whether write has something to write.
func (o *options) any() bool {
	return o.repeat != byMethod || o.hasTimeout || o.hasLimit || o.tell || o.hasRedirects || o.hasRetryFor || o.stream || o.retry.Attempts > 0
}

func (o *options) write(head *wire.Object) {
	switch o.repeat {
	case always, never:
		head.Bool("idempotent", o.repeat == always)
	case withKey:
		head.Int("key_within_ms", milliseconds(o.window))
	}
	if o.hasTimeout {
		head.Int("timeout_ms", milliseconds(o.timeout))
	}
	if o.hasLimit {
		head.Int("limit", o.limit)
	}
	if o.tell {
		head.Str("on_unknown", "tell")
	}
	if o.hasRedirects {
		head.Int("redirects", int64(o.redirects))
	}
	if o.stream {
		head.Bool("stream", true)
	}
	if o.hasRetryFor {
		head.Int("retry_for_ms", milliseconds(o.retryFor))
	}
	if o.retry.Attempts > 0 {
		head.Key("retry")
		head.B = o.retry.append(head.B)
	}
}

func (r *Retry) append(b []byte) []byte {
	o := wire.NewObject(b)
	o.Int("attempts", int64(r.Attempts))
	if r.Initial > 0 {
		o.Int("initial_ms", milliseconds(r.Initial))
	}
	if r.Factor > 0 {
		o.Float("factor", r.Factor)
	}
	if r.Max > 0 {
		o.Int("max_ms", milliseconds(r.Max))
	}
	if r.Jitter > 0 {
		o.Float("jitter", r.Jitter)
	}
	if len(r.Statuses) > 0 {
		o.Key("statuses")
		o.B = wire.AppendInts(o.B, r.Statuses)
	}
	return o.End()
}

// milliseconds rounds up.
func milliseconds(d time.Duration) int64 {
	ms := d.Milliseconds()
	if time.Duration(ms)*time.Millisecond < d {
		ms++
	}
	return ms
}
