package flawless

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/flawless-engine/flawless/sdk/go/internal/abi"
	"github.com/flawless-engine/flawless/sdk/go/internal/schema"
	"github.com/flawless-engine/flawless/sdk/go/internal/site"
	"github.com/flawless-engine/flawless/sdk/go/internal/turn"
	"github.com/flawless-engine/flawless/sdk/go/internal/wire"
)

// Promise is a value that somebody outside the run provides, once: a person who approves, or a service that calls
// back.
type Promise[T any] struct {
	name  string
	token string
	wrong error

	turn gate // for concurrent calls of Wait
	call int
	over bool
	out  T
	err  error
}

// PromiseOption is an option for [NewPromise]: [Expires].
type PromiseOption interface{ promise(*promising) }

type promising struct{ expires int64 } // nanoseconds since 1970

type promiseOption func(*promising)

func (f promiseOption) promise(p *promising) { f(p) }

// Expires makes the promise expire: if nobody has settled it after d, it is settled with an error of kind
// [KindExpired]. A promise that would expire after the year 2262 never does.
func Expires(d time.Duration) PromiseOption {
	return promiseOption(func(p *promising) { p.expires = until(time.Now(), d) })
}

// until returns the time d after now in nanoseconds since 1970, or the maximum if that overflows.
func until(now time.Time, d time.Duration) int64 {
	at := now.UnixNano()
	if d > 0 && at > math.MaxInt64-int64(d) {
		return math.MaxInt64
	}
	return max(1, at+int64(d))
}

// NewPromise makes a promise. Anyone who knows its [Promise.URL] or [Promise.Token], neither of which can be guessed,
// can settle it, but only once: later attempts get the value it was settled with. A value that does not fit the JSON
// Schema of T is rejected and settles nothing. The promise exists once the turn is durable. name is for people.
//
// If the promise cannot be made, [Promise.Wait] returns the reason.
func NewPromise[T any](ctx context.Context, name string, opts ...PromiseOption) *Promise[T] {
	p := &Promise[T]{name: name, turn: newGate()}
	if ctx.Err() != nil {
		p.wrong = context.Cause(ctx)
		return p
	}
	var how promising
	for _, opt := range opts {
		opt.promise(&how)
	}
	secret := drawSecret()
	o := wire.NewObject(nil)
	if name != "" {
		o.Str("name", name)
	}
	o.Str("secret", secret)
	if how.expires != 0 {
		o.Int("expires", how.expires)
	}
	wanted, err := schema.ForCall[T]()
	if err != nil {
		p.wrong = fmt.Errorf("promise %s: %w", name, err)
		return p
	}
	if wanted != nil {
		o.Raw("schema", wanted)
	}
	o.Site(site.Caller(1))
	if p.call, p.wrong = makeCall("promise", o.End(), nil); p.wrong == nil {
		p.token = secret + "." + strconv.Itoa(p.call) + "." + RunID()
	}
	return p
}

// drawSecret returns 125 random bits as 25 letters and digits.
func drawSecret() string {
	const letters = "0123456789abcdefghjkmnpqrstvwxyz"
	var b [25]byte
	for i := range b {
		b[i] = letters[rand.N(len(letters))]
	}
	return string(b[:])
}

// Token returns the token that settles the promise with flawless workflow promise settle, or "" if the promise could not
// be made.
func (p *Promise[T]) Token() string { return p.token }

// URL returns the URL that settles the promise: send a POST with the value as JSON. It is "" if the promise could not
// be made.
func (p *Promise[T]) URL() string {
	if p.token == "" {
		return ""
	}
	return self().URL + "/api/v1/promises/" + escapePath(p.token)
}

// Wait waits until the promise is settled and returns its value. The error is a [*CallError] of kind [KindRejected]
// if the promise was settled with an error, and of kind [KindExpired] if it has expired. If ctx ends first, Wait
// returns its cause and can be called again. It may be called concurrently.
func (p *Promise[T]) Wait(ctx context.Context) (T, error) {
	var none T
	if p.wrong != nil {
		return none, p.wrong
	}
	if err := p.turn.enter(ctx); err != nil {
		return none, err
	}
	defer p.turn.leave()
	if p.over {
		return p.out, p.err
	}
	if !turn.Wait(ctx, p.call) {
		return none, context.Cause(ctx)
	}
	var h wire.Head
	body, err := abi.Take(p.call, &h)
	switch {
	case err != nil:
		return none, err
	case h.Failure != nil:
		p.err = callError(h.Failure, "promise", p.name, p.call)
	default:
		if err := json.Unmarshal(body, &p.out); err != nil {
			p.err = fmt.Errorf("promise %s: the value it was settled with does not fit %T: %w", p.name, p.out, err)
		}
	}
	p.over = true
	return p.out, p.err
}

// escapePath percent-encodes s for use in the path of a URL (RFC 3986 section 2.1).
func escapePath(s string) string {
	const hex = "0123456789ABCDEF"
	var b []byte
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '.', c == '_', c == '~':
			b = append(b, c)
		default:
			b = append(b, '%', hex[c>>4], hex[c&15])
		}
	}
	return string(b)
}
