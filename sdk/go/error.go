package flawless

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/flawless-engine/flawless/sdk/go/internal/wire"
)

// ErrOutside is the error of calls made outside a run: in a program that is not built as a guest, in a test, or in
// func main of a guest.
var ErrOutside = errors.New("flawless: called outside a workflow: build with GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared, add the module to an engine, and make calls from the workflow's function only")

// Values of [CallError.Kind].
const (
	KindUnknown  = "unknown"   // the outcome of an idempotent call is unknown, and it is not tried again
	KindTooLarge = "too_large" // the response is longer than the limit, see [TooLarge]; or the body to send is longer than 64 MiB and was not sent
	KindInvalid  = "invalid"   // the call is malformed
	KindGivenUp  = "given_up"  // retries were ended by a person or by the lifetime of the idempotency key, and no attempt took effect
	KindTold     = "told"      // a person resolved the call with this error
	KindNotFound = "not_found" // no such run, module or workflow
	KindConflict = "conflict"  // the run that should receive the message has ended
	KindDeadlock = "deadlock"  // runs would wait for each other forever; the message names them
	KindBroken   = "broken"    // a streamed response broke off; everything before that was read
	KindExpired  = "expired"   // the promise was not settled in time
	KindRejected = "rejected"  // the promise was settled with an error
)

// NotSent is the error of a request of which no byte was sent. It certainly had no effect, so you can safely make it
// again.
type NotSent struct {
	Call        int    // number of the call in the run
	Method, URL string // of the request
	Reason      string // name (DNS), dial, tls, policy, headers or timeout
	Message     string
}

func (e *NotSent) Error() string {
	return fmt.Sprintf("%s: not sent (%s): %s", request(e.Call, e.Method, e.URL), e.Reason, strings.TrimPrefix(e.Message, "not sent: "))
}

// Interrupted is the error of a request that was sent, is not idempotent, and whose outcome is unknown. Only calls
// with [TellInterrupted] return it. Find out whether the request took effect, or undo it in a way that is right in
// both cases.
type Interrupted struct {
	Call        int    // number of the call in the run
	Method, URL string // of the request
	Key         string // the Idempotency-Key it was sent with; "" if an older engine logged the answer
	Status      int    // of a response that was cut off or leaves the outcome open; 409 if the server was last heard to be still working on it; otherwise 0
	Message     string
	// RepeatUntil is when the time for retries of the call ends, or the lifetime of its idempotency key if the server
	// honours one, whichever is earlier. It is zero if an older engine logged the answer.
	RepeatUntil time.Time
}

func (e *Interrupted) Error() string {
	return fmt.Sprintf("%s: interrupted, it may or may not have taken effect: %s", request(e.Call, e.Method, e.URL), e.Message)
}

// TooLarge is the error of a request whose response is longer than its [Limit]. The server has processed the request,
// as Status shows, so do not make it again: raise the limit or use [Stream]. errors.As also finds a [*CallError] of
// kind [KindTooLarge] in it.
type TooLarge struct {
	Call        int    // number of the call in the run
	Method, URL string // of the request
	Status      int    // of the response
	Message     string
}

func (e *TooLarge) Error() string {
	return fmt.Sprintf("%s: answered, do not make it again: %s", request(e.Call, e.Method, e.URL), e.Message)
}

// Unwrap returns the error as a [*CallError].
func (e *TooLarge) Unwrap() error {
	return &CallError{Call: e.Call, Method: e.Method, URL: e.URL, Kind: KindTooLarge, Status: e.Status, Message: e.Message}
}

// CallError is the error of a call that failed in any other way.
type CallError struct {
	Call        int    // number of the call in the run, 0 if it was not made
	Method, URL string // of the request; for other calls, their kind and target
	Kind        string // one of the constants above, or one that a newer engine added
	Status      int    // of the response, 0 if there was none
	Message     string
}

func (e *CallError) Error() string {
	return fmt.Sprintf("%s: %s (%s)", request(e.Call, e.Method, e.URL), e.Message, e.Kind)
}

// StatusError is the error of [GetJSON] and [PostJSON] for a response whose status is not 2xx.
type StatusError struct {
	Method, URL string
	Status      int
	Body        []byte // the whole response body
}

func (e *StatusError) Error() string {
	const maxShown = 200
	body, more := e.Body, ""
	if len(body) > maxShown {
		body, more = body[:maxShown], "…"
	}
	if len(body) == 0 {
		return fmt.Sprintf("%s %s: status %d", e.Method, withoutUser(e.URL), e.Status)
	}
	return fmt.Sprintf("%s %s: status %d: %s%s", e.Method, withoutUser(e.URL), e.Status, strings.ToValidUTF8(string(body), ""), more)
}

// Cancelled is the cause of the workflow's context after somebody cancelled the run. It matches [context.Canceled] in
// errors.Is.
type Cancelled struct {
	By   string // who cancelled the run; may be empty
	Note string // the reason; may be empty
}

func (e *Cancelled) Error() string {
	s := "the run was cancelled"
	if e.By != "" {
		s += " by " + e.By
	}
	if e.Note != "" {
		s += ": " + e.Note
	}
	return s
}

// Is reports whether target is [context.Canceled].
func (e *Cancelled) Is(target error) bool { return target == context.Canceled }

func request(call int, method, url string) string {
	url = withoutUser(url)
	if call == 0 {
		return strings.TrimSpace(method + " " + url)
	}
	return fmt.Sprintf("call %d, %s %s", call, method, url)
}

// withoutUser returns url without user and password, for error texts, which are logged and shown. It hides everything
// up to the last @ before the path, even in a malformed URL.
func withoutUser(url string) string {
	start := strings.Index(url, "://") + 1
	for _, scheme := range []string{"http:", "https:"} {
		if start == 0 && len(url) >= len(scheme) && strings.EqualFold(url[:len(scheme)], scheme) {
			start = len(scheme)
		}
	}
	rest := strings.TrimLeft(url[start:], `/\`)
	before := url[:len(url)-len(rest)]
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	_, port, colon := strings.Cut(rest[:end], ":")
	at := strings.LastIndexByte(rest[:end], '@')
	if at < 0 && colon && (port == "" || strings.Trim(port, "0123456789") != "") && rest[0] != '[' {
		at = strings.LastIndexByte(rest, '@') // not a port, so this is a password with a slash in it
	}
	if at < 0 || before == "" && !colon { // a mail address
		return url
	}
	return before + "***" + rest[at:]
}

// callError returns the error of call n, which failed for f. method and url describe the call: those of a request, or
// the kind of the call and its target.
func callError(f *wire.Failure, method, url string, n int) error {
	switch f.Kind {
	case "not_sent":
		return &NotSent{Call: n, Method: method, URL: url, Reason: f.Reason, Message: f.Message}
	case "interrupted":
		cut := &Interrupted{Call: n, Method: method, URL: url, Key: f.Key, Status: f.Status, Message: f.Message}
		if f.RepeatUntil != 0 {
			cut.RepeatUntil = time.Unix(0, int64(f.RepeatUntil))
		}
		return cut
	case KindTooLarge:
		if f.Status != 0 {
			return &TooLarge{Call: n, Method: method, URL: url, Status: f.Status, Message: f.Message}
		}
	}
	return &CallError{Call: n, Method: method, URL: url, Kind: f.Kind, Status: f.Status, Message: f.Message}
}
