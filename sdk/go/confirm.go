package flawless

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/flawless-engine/flawless/sdk/go/internal/wire"
)

// Outcome is what was found out about a request: [Happened], [DidNotHappen] or [CannotTell].
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

// Happened says that the request took effect, and what its response was; nil is a 200 without a body.
func Happened(resp *Response) Outcome {
	if resp == nil {
		resp = &Response{Status: 200}
	}
	return Outcome{happened, resp}
}

// DidNotHappen says that the request did not take effect. It is sent again.
func DidNotHappen() Outcome { return Outcome{what: didNotHappen} }

// CannotTell says that nobody could find out.
func CannotTell() Outcome { return Outcome{} }

// Confirm says how to find out what became of the request when the engine cannot know: ask the other
// side for the charge with this key, say. ask is given the request's Idempotency-Key and makes calls
// of its own, which are in the log. It is called only where the outcome is unknown; where it returns
// an error or [CannotTell], the run becomes unresolved, with the error as the reason. Together with
// [TellInterrupted] the call returns an [*Interrupted] with that reason instead.
//
// A request that did not happen is sent again under its key. A server that honours keys may contradict: it
// answers 409 while it still carries out the first request. Then ask is called again, after waits that grow from
// a second to five minutes, and the request is sent right after ask returns. This ends with the time of the key, or
// that for retries of the call (see [RetryFor]), whichever is earlier: then the outcome is unknown, whatever ask says. It is so
// at once if the server says with a 422 that it knows the key, and ask that nothing happened.
func Confirm(ask func(ctx context.Context, key string) (Outcome, error)) Option {
	return optionFunc(func(o *options) { o.confirm = ask })
}

// confirmed makes a request until its outcome is known.
func confirmed(ctx context.Context, req *Request, o options, at string) (*Response, error) {
	step := stepOf(ctx)
	if err := step.enter(); err != nil { // for the request, its confirmation and what comes of it together
		return nil, err
	}
	defer step.leave()
	c := confirmation{ask: o.confirm, tell: o.tell, decide: inDoubt}
	o.tell = true
	c.send = func(ctx context.Context, req *Request) (*Response, int, error) { return attempt(ctx, req, &o, at) }
	return c.run(ctx, req)
}

// confirmation is what it takes to confirm a request.
type confirmation struct {
	send   func(context.Context, *Request) (*Response, int, error)
	ask    func(context.Context, string) (Outcome, error)
	tell   bool                                                   // the code wants to know, instead of a person
	decide func(what, why string) (wire.Head, []byte, int, error) // asks a person
}

// run makes a request until its outcome is known. Each time it is made again, it is under the key of the first.
func (c *confirmation) run(ctx context.Context, req *Request) (*Response, error) {
	key := req.Header.Get("Idempotency-Key")
	var limit time.Time // zero where the engine has not said
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
		pause(ctx, pauseAfter(round)) // before it asks: what it learns must not be old when the request is sent again
		found, why := c.ask(With(context.WithoutCancel(ctx), unconfirmed()), key)
		reason := cut.Message + "; nobody could find out whether it took effect"
		switch {
		case why != nil:
			reason += ": " + why.Error()
		case found.what == happened:
			return found.resp, nil
		case found.what == didNotHappen:
			over := contradicted(round, cut, limit)
			if over == "" {
				if cut.Status != 0 { // the server knows something of it: code must not be told that its time is over
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
		limit = time.Time{}              // a person may know more, and the engine knows the key's time
		ctx = context.WithoutCancel(ctx) // the time that a person took to decide does not count against the request
	}
}

// contradicted tells why a request is not made again although its confirmation says that it did not happen, "" if it is.
//   - A server that answers a repetition with 422 knows the key from another request. Asking it once more tells nothing new.
//   - The first confirmation is believed at any time, unless the server contradicts it with a 409. It may not know the key
//     any more after limit, and still carry out the request.
func contradicted(round int, cut *Interrupted, limit time.Time) string {
	switch {
	case round > 1 && cut.Status == 422:
		return "and the server that it knows its key"
	case limit.IsZero() || time.Now().Before(limit):
		return ""
	case cut.Status == 409:
		return "but the server was still carrying it out when the time for repeating it was over (" + limit.UTC().Format(time.RFC3339) + ")"
	case round > 1:
		return "and the time for repeating it was over at " + limit.UTC().Format(time.RFC3339)
	}
	return ""
}

// pauseAfter is how long to wait before the confirmation is asked: not at all for the first time.
func pauseAfter(round int) time.Duration {
	if round == 1 {
		return 0
	}
	return min(time.Second<<min(round-2, 9), 5*time.Minute)
}

// pause waits for a time, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	if d == 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// unconfirmed keeps the calls of a confirmation from being confirmed themselves.
func unconfirmed() Option { return optionFunc(func(o *options) { o.confirm = nil }) }
