package flawless

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/flawless-engine/flawless/sdk/go/internal/wire"
)

// Outcome is the result of a confirmation: [Happened], [DidNotHappen] or [CannotTell].
type Outcome struct {
	what outcome
	resp *Response
}

type outcome int

const (
	cannotTell outcome = iota
	happened
	didNotHappen
)

// Happened means that the request took effect. resp becomes the response of the call; nil means status 200 without a
// body.
func Happened(resp *Response) Outcome {
	if resp == nil {
		resp = &Response{Status: 200}
	}
	return Outcome{happened, resp}
}

// DidNotHappen means that the request did not take effect. It is sent again.
func DidNotHappen() Outcome { return Outcome{what: didNotHappen} }

// CannotTell means that the outcome could not be found out.
func CannotTell() Outcome { return Outcome{} }

// Confirm tells the engine how to find out whether the request took effect if its outcome is unknown, for instance by
// asking the server for a charge with this key. ask gets the Idempotency-Key of the request, and makes calls of its
// own, which are in the log. It is called only if the outcome is unknown. If it returns an error or [CannotTell], the
// run becomes unresolved with the error as the reason; with [TellInterrupted], the call returns an [*Interrupted]
// with that reason instead.
//
// A request that did not happen is sent again under its key. A server that honours keys may contradict ask: it
// answers 409 while it still carries out the first request. Then ask is called again, after waits that grow from one
// second to five minutes, and the request is sent right after ask returns. This ends when the lifetime of the key
// ends, or the time for retries of the call (see [RetryFor]), whichever is earlier; then the outcome is unknown,
// whatever ask says. It ends at once if the server answers 422, which means that it knows the key, while ask says
// that nothing happened.
//
// If that time has ended before ask is called for the first time, as it always has with RetryFor(0), nothing protects
// the request any more while the server may still be working on it. So ask is called only after a durable wait as long
// as the [Timeout] of the request (120 seconds unless it is set, less if ctx left less), and the request is sent again
// if ask then says that it did not happen. The end of ctx ends the wait. [DidNotHappen] is not believed then, nor if
// the last response of the server was 409, also to an attempt before a restart of the engine: the outcome is unknown.
//
// If the server does not honour keys, [DidNotHappen] must also mean that the request cannot take effect any more. While
// the server may still be working on it, return [CannotTell], or wait in ask.
func Confirm(ask func(ctx context.Context, key string) (Outcome, error)) Option {
	return optionFunc(func(o *options) { o.confirm = ask })
}

// confirmed makes a request until its outcome is known.
func confirmed(ctx context.Context, req *Request, o options, at string) (*Response, error) {
	step := stepOf(ctx)
	if err := step.enter(); err != nil { // once for the request, its confirmation and its repetitions
		return nil, err
	}
	defer step.leave()
	c := confirmation{ask: o.confirm, tell: o.tell, decide: inDoubt}
	o.tell = true
	c.send = func(ctx context.Context, req *Request) (*Response, int, error) { return attempt(ctx, req, &o, at) }
	c.timeout = o.attemptTime
	return c.run(ctx, req)
}

// confirmation makes a request and confirms its outcome.
type confirmation struct {
	send    func(context.Context, *Request) (*Response, int, error)
	timeout func() time.Duration // of the request that was sent
	ask     func(context.Context, string) (Outcome, error)
	tell    bool                                                   // return Interrupted instead of asking a person
	decide  func(what, why string) (wire.Head, []byte, int, error) // asks a person
}

// run makes the request until its outcome is known. It repeats it under the key of the first one.
func (c *confirmation) run(ctx context.Context, req *Request) (*Response, error) {
	key := req.Header.Get("Idempotency-Key")
	var limit time.Time // zero if the engine has not set one
	for round := 1; ; round++ {
		id := RunID()
		resp, n, err := c.send(ctx, req)
		var cut *Interrupted
		if !errors.As(err, &cut) {
			return resp, err
		}
		if key == "" {
			if key = cut.Key; key == "" { // an older engine logged the answer
				key = fmt.Sprintf("%s-%d", id, n)
			}
			again := *req
			again.Header = append(append(Header(nil), req.Header...), [2]string{"Idempotency-Key", key})
			req = &again
		}
		if u := cut.RepeatUntil; !u.IsZero() && (limit.IsZero() || u.Before(limit)) {
			limit = u
		}
		wait := pauseAfter(round)
		if late := round == 1 && !limit.IsZero() && !time.Now().Before(limit); late {
			wait = c.timeout() // the server may still be working on it, and its key does not protect it any more
		}
		waited := pause(ctx, wait) // before asking: the answer must be fresh when the request is sent again
		asked := time.Now()
		found, why := c.ask(With(context.WithoutCancel(ctx), unconfirmed()), key)
		reason := cut.Message + "; nobody could find out whether it took effect"
		switch {
		case why != nil:
			reason += ": " + why.Error()
		case found.what == happened:
			return found.resp, nil
		case found.what == didNotHappen:
			over := contradicted(round, cut, limit, asked, waited)
			if over == "" {
				if cut.Status != 0 { // the server knows the request, so its outcome matters more than the deadline
					ctx = context.WithoutCancel(ctx)
				}
				continue
			}
			reason = cut.Message + "; the confirmation says that the request did not happen, " + over
		}
		if c.tell {
			cut.Message = reason
			return nil, cut
		}
		h, body, call, err := c.decide(req.method()+" "+withoutUser(req.URL), reason)
		switch {
		case err != nil:
			return nil, err
		case h.Failure != nil:
			return nil, callError(h.Failure, req.method(), req.URL, call)
		case h.Note != "retry":
			return &Response{Status: h.Status, Header: h.Header, Body: body, URL: req.URL}, nil
		}
		limit = time.Time{}              // a person may know more, and the engine enforces the lifetime of the key
		ctx = context.WithoutCancel(ctx) // the time a person took to decide does not count against the request
	}
}

// contradicted returns why a request is not repeated although its confirmation says that it did not happen, or "" if
// it is repeated.
//
//   - A server that answers a repetition with 422 knows the key from another request. Asking again would not help.
//   - After limit, the server may have forgotten the key and still carry out the request. Only the first confirmation is
//     trusted then, if it was asked after limit and after the whole wait for work that goes on, and unless the server
//     contradicts it with a 409.
func contradicted(round int, cut *Interrupted, limit, asked time.Time, waited bool) string {
	switch {
	case round > 1 && cut.Status == 422:
		return "but the server says that it knows the key"
	case limit.IsZero() || time.Now().Before(limit):
		return ""
	case cut.Status == 409:
		return "but the server was still carrying it out when the time for repeating it ended (" + limit.UTC().Format(time.RFC3339) + ")"
	case round > 1 || asked.Before(limit):
		return "and the time for repeating it ended at " + limit.UTC().Format(time.RFC3339)
	case !waited:
		return "but it was asked before a time-out had passed, because the context ended, and the time for repeating it ended at " + limit.UTC().Format(time.RFC3339)
	}
	return ""
}

// pauseAfter returns how long to wait before the confirmation is asked within the time for repeating the request: not
// at all the first time.
func pauseAfter(round int) time.Duration {
	if round == 1 {
		return 0
	}
	return min(time.Second<<min(round-2, 9), 5*time.Minute)
}

// pause waits until d has passed or ctx ends. It reports whether d has passed.
func pause(ctx context.Context, d time.Duration) bool {
	if d == 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// unconfirmed keeps calls that a confirmation makes from being confirmed themselves.
func unconfirmed() Option { return optionFunc(func(o *options) { o.confirm = nil }) }
