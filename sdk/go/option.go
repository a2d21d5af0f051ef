package flawless

import (
	"context"
	"math"
	"time"

	"github.com/flawless-engine/flawless/sdk/go/internal/wire"
)

// Option changes how one call is carried out. Options are given to [Do], [Get], [Post] and the like,
// or are put into a context by [With]; of two that contradict each other the later one counts, and
// one given with the call counts more than one in the context.
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
	withKey // for a time, under the same key
)

type optionFunc func(*options)

func (f optionFunc) set(o *options) { f(o) }

// idempotent tells whether a call with this method may be made again, as the engine sees it.
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

// Window is for how long a server honours an Idempotency-Key, see [Within].
type Window time.Duration

// Within is for how long the server honours the Idempotency-Key of a request: if it gets the request again
// in that time, it does not carry it out a second time. Stripe, for instance, says 24 hours.
func Within(d time.Duration) Window { return Window(d) }

// Idempotent says that the request may reach the server twice without harm: if the engine cannot
// know whether it did, it sends it again, under the same Idempotency-Key. This is how GET, HEAD,
// OPTIONS, PUT, DELETE and TRACE are treated anyway.
//
// With [Within] it says that the server honours the key for that time, counted from the first try that may
// have reached it. The engine sends the request again in that time, and never after it: then the run waits
// for a person to decide, or is told where [TellInterrupted] is given. Such a request is otherwise treated as
// one that is not idempotent. In particular, when its context ends while its outcome is unknown, the call
// waits for the outcome: the same request made as a new call would have another key. A window has no effect
// on methods that are idempotent anyway; one that is not above zero makes the call return an error of kind
// [KindInvalid].
func Idempotent(within ...Window) Option {
	return optionFunc(func(o *options) {
		o.repeat, o.window = always, 0
		for _, w := range within {
			o.repeat, o.window = withKey, time.Duration(w)
		}
	})
}

// NotIdempotent says that the request must never reach the server twice: if the engine cannot know
// whether it did, it does not send it again; the run waits for a person to decide, or is told where
// [TellInterrupted] is given. This is how POST and PATCH are treated anyway.
func NotIdempotent() Option { return optionFunc(func(o *options) { o.repeat = never }) }

// TellInterrupted lets the call return an [*Interrupted] when it cannot be known whether a request
// that is not idempotent took effect, instead of making the run wait for a person.
func TellInterrupted() Option { return optionFunc(func(o *options) { o.tell = true }) }

// Timeout limits one try of the call, from its start to the last byte of the response. It is
// rounded up to milliseconds; without it the engine's default of 120 seconds holds. What is not
// above zero makes the call return an error of kind [KindInvalid].
//
// The deadline of the context given to the call has the same effect, where it is earlier. It counts for
// all tries together, and the wait ends with it: see [Do], also for the exception in a saga's step.
func Timeout(d time.Duration) Option {
	return optionFunc(func(o *options) { o.timeout, o.hasTimeout = d, true })
}

// Limit is the longest response body in bytes that is accepted; a longer one is a [*TooLarge] error and is not
// cut: the request was answered, so code must not make it again. Without it the engine's default of 10 MiB holds. What is not above
// zero makes the call return an error of kind [KindInvalid].
func Limit(bytes int64) Option {
	return optionFunc(func(o *options) { o.limit, o.hasLimit = bytes, true })
}

// RetryFor is for how long the engine may try the call again, from the start of its first try: a call that was
// not sent, or that is idempotent and has failed. Without it the operator's setting for the host, the module
// or the server holds, which is 24 hours unless it was changed. With 0 a call that fails is not tried again.
// Together with a [Retry] both limits hold. A negative time makes the call return an error of kind
// [KindInvalid].
func RetryFor(d time.Duration) Option {
	return optionFunc(func(o *options) { o.retryFor, o.hasRetryFor = d, true })
}

// Redirects is how many redirects are followed, 10 without it. With 0, and for requests that are
// not idempotent, a 3xx is the answer. A negative number makes the call return an error of kind
// [KindInvalid].
func Redirects(n int) Option {
	return optionFunc(func(o *options) { o.redirects, o.hasRedirects = n, true })
}

// Retry is an [Option] that replaces the engine's own retries: the engine tries a call again when nothing of it
// was sent, when its outcome is unknown and it may be repeated, or when the response has one of the Statuses.
// Without it the engine retries, too, with growing waits of up to five minutes and for as long as [RetryFor]
// or the operator says, but no status. What cannot succeed by itself is never tried again: a malformed
// request, a host refused by policy, an unknown secret.
//
// Each try is in the run's log. A response that asks for a later try with Retry-After gets it where that is
// longer than the policy's own wait; if it asks for more than a day, or more than is left of [RetryFor], it is
// the answer instead. A call that is not idempotent is never repeated while its outcome is unknown. Without
// Statuses they are 429, 502, 503 and 504, and for a call that is not idempotent 429 and 503: behind a gateway
// that answers 502 or 504 it may have taken effect.
type Retry struct {
	Attempts int           // tries in all, at most 1000; 1 is one try, 0 leaves retries to the engine as if there were no Retry
	Initial  time.Duration // wait before the second try, at most 24 hours
	Factor   float64       // by which each further wait is longer, 1 to 100; 0 leaves it to the engine
	Max      time.Duration // longest wait, at most 24 hours; 0 leaves it to the engine
	Jitter   float64       // share of each wait that is random, from 0 to 1
	Statuses []int         // of responses after which the call is tried again; none leaves it to the engine, as above
}

func (r Retry) set(o *options) { o.retry = r }

type optionsKey struct{}

// With returns a context under which every call has these options, after those that ctx carries
// already. It is the way to give options to libraries that call through package nethttp.
func With(ctx context.Context, opts ...Option) context.Context {
	before, _ := ctx.Value(optionsKey{}).([]Option)
	all := append(before[:len(before):len(before)], opts...)
	return context.WithValue(ctx, optionsKey{}, all)
}

// gather returns what the options of ctx and then opts amount to.
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

// problem says what is wrong with the options, or is empty. It tells of what a call cannot say, because it would
// mean the default or is no number. How large something may be is the engine's to check, in one place for all
// SDKs.
func (o *options) problem() string {
	r := &o.retry
	switch {
	case o.hasTimeout && o.timeout <= 0:
		return "the timeout is " + o.timeout.String() + "; give one above zero, or none for the default"
	case o.hasLimit && o.limit <= 0:
		return "the limit of the response is not above zero; give a number of bytes, or none for the default"
	case o.repeat == withKey && o.window <= 0:
		return "the time within which the server honours the key is " + o.window.String() + "; give one above zero"
	case o.hasRetryFor && o.retryFor < 0:
		return "the time for retries is " + o.retryFor.String() + "; give 0 for none, or more"
	case o.hasRedirects && o.redirects < 0:
		return "the number of redirects is negative; 0 follows none"
	case r.Attempts < 0 || r.Initial < 0 || r.Max < 0 || !(r.Factor >= 0 && r.Factor <= math.MaxFloat64):
		return "the retry has a negative number, or a factor that is no number"
	case !(r.Jitter >= 0 && r.Jitter <= math.MaxFloat64):
		return "the jitter of the retry is negative, or no number"
	}
	return ""
}

// any tells whether write has something to write.
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
