package effect

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/flawless-engine/flawless"
)

// The kinds of error in an answer.
const (
	kindTold        = "told" // set by a person
	kindNotSent     = "not_sent"
	kindInterrupted = "interrupted"
	kindUnknown     = "unknown"
	kindTooLarge    = "too_large"
	kindInvalid     = "invalid"
	kindWithdrawn   = "withdrawn"
)

// KindGivenUp is the kind of error of a call whose retries were stopped between two attempts, by a person or because
// its idempotency key expired, and whose last attempt was answered with a status.
const KindGivenUp = "given_up"

// ErrorAnswer returns an answer with an error of that kind.
func ErrorAnswer(call int, kind, message string) flawless.Answer {
	return errorAnswer(call, kind, message, "", 0)
}

// FailureAnswer returns the answer of a call that failed with a known outcome. reason is "timeout" if its time-out
// passed, and "" otherwise. status is that of a response that was cut off, 0 if there was none.
func FailureAnswer(call int, kind, message, reason string, status int) flawless.Answer {
	return errorAnswer(call, kind, message, reason, status)
}

// UnknownAnswer returns the answer of a call that was sent and whose outcome is unknown: an error of kind `unknown`
// for an idempotent call, `interrupted` for any other. reason and status are those of [FailureAnswer]. It has the
// idempotency key that the engine made for the request. The code cannot compute the key: in a fork, the run that sent
// the request may have another id than the code believes.
func UnknownAnswer(run string, c flawless.Call, idempotent bool, message, reason string, status int) flawless.Answer {
	kind := kindInterrupted
	if idempotent {
		kind = kindUnknown
	}
	a := errorAnswer(c.N, kind, message, reason, status)
	if r, err := parseHTTP(c); c.Kind == HTTP && err == nil && !r.has(keyHeader) {
		b := a.Head[:len(a.Head)-len("}}")]
		b = appendString(append(b, `,"key":`...), engineKey(run, c.N))
		a.Head = append(b, "}}"...)
	}
	return a
}

// RepeatUntil adds to an answer that tells of an unknown outcome when the time for making the call again ends, in Unix
// nanoseconds. Code that has found out that the call had no effect goes by it.
func RepeatUntil(a flawless.Answer, at int64) flawless.Answer {
	b := append(slices.Clone(a.Head[:len(a.Head)-len("}}")]), `,"repeat_until":`...)
	a.Head = append(strconv.AppendInt(b, at, 10), "}}"...)
	return a
}

// IsError reports whether an answer is an error.
func IsError(a flawless.Answer) bool { return bytes.HasPrefix(a.Head, []byte(`{"error":`)) }

// IsInterrupted reports whether an answer tells the code that the outcome of a call is unknown.
func IsInterrupted(a flawless.Answer) bool {
	return bytes.HasPrefix(a.Head, []byte(`{"error":{"kind":"`+kindInterrupted+`"`))
}

// HTTPOutcome is what the answer of an http call tells the code about its outcome.
type HTTPOutcome struct {
	Status int    // of the last response, 0 if there is none
	Unsure bool   // the outcome was unknown, and was told so to the code or decided by a person
	Key    string // the engine's idempotency key, "" if it is not in the answer
}

// ParseHTTPAnswer returns what the answer of an http call tells the code about its outcome.
func ParseHTTPAnswer(a flawless.Answer) HTTPOutcome {
	var h struct {
		Status int `json:"status"`
		Error  *struct {
			Kind   string `json:"kind"`
			Key    string `json:"key"`
			Status int    `json:"status"`
		} `json:"error"`
	}
	_ = json.Unmarshal(a.Head, &h) // the engine wrote it
	switch {
	case h.Error == nil:
		return HTTPOutcome{Status: h.Status}
	case h.Error.Kind == kindInterrupted, h.Error.Kind == kindTold:
		return HTTPOutcome{Status: h.Error.Status, Unsure: true, Key: h.Error.Key}
	}
	return HTTPOutcome{Status: h.Error.Status}
}

func errorAnswer(call int, kind, message, reason string, status int) flawless.Answer {
	b := appendString([]byte(`{"error":{"kind":`), kind)
	b = appendString(append(b, `,"message":`...), message)
	if reason != "" {
		b = appendString(append(b, `,"reason":`...), reason)
	}
	if status != 0 {
		b = strconv.AppendInt(append(b, `,"status":`...), int64(status), 10)
	}
	return flawless.Answer{Call: call, Head: append(b, "}}"...)}
}

// ResponseAnswer returns the answer of an http call with a response that a person has entered. Status 0 is 200; a
// status that is not a final HTTP status is [flawless.Invalid]. The content type is guessed from body, which is not
// copied.
func ResponseAnswer(call int, status int, body []byte) (flawless.Answer, error) {
	if status == 0 {
		status = http.StatusOK
	}
	if status < 200 || status > 599 {
		return flawless.Answer{}, fmt.Errorf("status %d cannot be that of a response, give one from 200 to 599: %w", status, flawless.Invalid)
	}
	h := http.Header{}
	switch {
	case len(body) == 0:
	case json.Valid(body):
		h.Set("Content-Type", "application/json")
	case utf8.Valid(body):
		h.Set("Content-Type", "text/plain; charset=utf-8")
	default:
		h.Set("Content-Type", "application/octet-stream")
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	return flawless.Answer{Call: call, Head: responseHead(status, h, ""), Body: body}, nil
}

// CancelAnswer returns the answer of a `cancelled` call when the run is cancelled.
func CancelAnswer(call int, c flawless.Cancel) flawless.Answer {
	b := appendString([]byte(`{"by":`), c.Who)
	b = appendString(append(b, `,"note":`...), c.Note)
	return flawless.Answer{Call: call, Head: append(b, '}')}
}

// responseHead returns the head of the answer of an http call. Header names are in alphabetical order, the values of
// one name in the order in which they came.
func responseHead(status int, h http.Header, url string) []byte {
	var room [24]string
	names, size := room[:0], 64+len(url)
	for name, values := range h {
		names = append(names, name)
		for _, v := range values {
			size += len(name) + len(v) + 8
		}
	}
	slices.Sort(names)
	b := strconv.AppendInt(append(make([]byte, 0, size), `{"status":`...), int64(status), 10)
	b = append(b, `,"headers":[`...)
	first := true
	for _, name := range names {
		for _, v := range h[name] {
			if !first {
				b = append(b, ',')
			}
			first = false
			b = appendString(append(b, '['), name)
			b = appendString(append(b, ','), v)
			b = append(b, ']')
		}
	}
	b = appendString(append(b, `],"url":`...), url)
	return append(b, '}')
}

// appendString appends s as a JSON string. Bytes that are not UTF-8 become U+FFFD.
func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c >= 0x7f || c == '"' || c == '\\' {
			quoted, err := json.Marshal(s)
			if err != nil {
				panic("effect: a string cannot be JSON: " + err.Error())
			}
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}
