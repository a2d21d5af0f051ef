package flawless

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/flawless-engine/flawless/sdk/go/internal/wire"
)

// ErrOutside is returned by calls that are made where no run is: in a program that is not built as
// a guest, in a test, or in func main of a guest.
var ErrOutside = errors.New("flawless: called outside a workflow: build with GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared, add the module to an engine, and make calls from the workflow's function only")

// The kinds of a [CallError].
const (
	KindUnknown  = "unknown"   // an idempotent call whose outcome cannot be known and that is not tried again
	KindTooLarge = "too_large" // the response is longer than the limit, see [TooLarge], or what is sent than 64 MiB; then nothing was sent
	KindInvalid  = "invalid"   // the call itself is not well formed
	KindGivenUp  = "given_up"  // a person has ended the retries of the call, or the time of its idempotency key has, and no try took effect
	KindTold     = "told"      // a person resolved the call with this message
	KindNotFound = "not_found" // there is no such run, module or workflow
	KindConflict = "conflict"  // the run that was to get the message has ended
	KindDeadlock = "deadlock"  // runs would wait for each other for ever; the message names them
	KindBroken   = "broken"    // a streamed response broke off; what came before was read
	KindExpired  = "expired"   // nobody settled the promise in time
	KindRejected = "rejected"  // the promise was settled with an error
)

// NotSent is the error of a call of which nothing left the engine: it certainly had no effect, and
// making it again is safe.
type NotSent struct {
	Call        int    // number of the call in the run
	Method, URL string // of the request
	Reason      string // name, dial, tls, policy, headers or timeout
	Message     string
}

func (e *NotSent) Error() string {
	return fmt.Sprintf("%s: not sent (%s): %s", request(e.Call, e.Method, e.URL), e.Reason, e.Message)
}

// Interrupted is the error of a call that was sent, is not idempotent, and whose outcome cannot be
// known. Only calls with [TellInterrupted] return it. Whoever gets it must find out whether the call
// took effect, or make it undone in a way that is right in both cases.
type Interrupted struct {
	Call        int    // number of the call in the run
	Method, URL string // of the request
	Key         string // the Idempotency-Key under which it was sent; "" in an answer that an older engine logged
	Status      int    // of a response that was cut off or leaves the outcome open, such as 409 to a repetition; else 0
	Message     string
	// RepeatUntil is when the time for retries of the call ends, or that of its idempotency key where the server honours
	// one, whichever is earlier. It is zero in an answer that an older engine logged.
	RepeatUntil time.Time
}

func (e *Interrupted) Error() string {
	return fmt.Sprintf("%s: interrupted, it may or may not have taken effect: %s", request(e.Call, e.Method, e.URL), e.Message)
}

// TooLarge is the error of a request that was answered, with a response longer than its [Limit]. The server has
// dealt with the request, as Status says: do not make it again, raise the limit or use [Stream]. errors.As finds
// a [*CallError] of kind [KindTooLarge] in it, too.
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

// CallError is the error of a call that ended in another way.
type CallError struct {
	Call        int    // number of the call in the run, 0 where it was not made
	Method, URL string // of the request; for other calls their kind, and what it was about
	Kind        string // one of the constants above; an engine may know more
	Status      int    // of the response where one was seen, else 0
	Message     string
}

func (e *CallError) Error() string {
	return fmt.Sprintf("%s: %s (%s)", request(e.Call, e.Method, e.URL), e.Message, e.Kind)
}

// StatusError is the error of [GetJSON] and [PostJSON] for a response whose status is not 2xx.
type StatusError struct {
	Method, URL string
	Status      int
	Body        []byte // the whole of it
}

func (e *StatusError) Error() string {
	const most = 200
	body, more := e.Body, ""
	if len(body) > most {
		body, more = body[:most], "…"
	}
	if len(body) == 0 {
		return fmt.Sprintf("%s %s: status %d", e.Method, withoutUser(e.URL), e.Status)
	}
	return fmt.Sprintf("%s %s: status %d: %s%s", e.Method, withoutUser(e.URL), e.Status, strings.ToValidUTF8(string(body), ""), more)
}

// Cancelled is the cause of a workflow's context once somebody asked the run to give up.
// errors.Is(err, context.Canceled) is true for it.
type Cancelled struct {
	By   string // who asked, may be empty
	Note string // why, may be empty
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

// Is makes a Cancelled match [context.Canceled].
func (e *Cancelled) Is(target error) bool { return target == context.Canceled }

func request(call int, method, url string) string {
	url = withoutUser(url)
	if call == 0 {
		return strings.TrimSpace(method + " " + url)
	}
	return fmt.Sprintf("call %d, %s %s", call, method, url)
}

// withoutUser is a URL without the user and password in it: texts of errors are logged and shown. It
// hides everything up to the last @ before the path, also where the URL is not written as it should be.
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
		at = strings.LastIndexByte(rest, '@') // what is no port is a password with a slash
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
