package wasabi

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/flawless-engine/flawless"
)

// httpRequest is the HttpRequest of the crate flawless-wasabi.
type httpRequest struct {
	Config struct {
		Idempotent bool     `json:"idempotent"`
		Timeout    duration `json:"timeout"`
		Limit      uint64   `json:"response_body_limit"`
	} `json:"config"`
	Method  string      `json:"method"`
	URL     string      `json:"url"`
	Headers [][2]string `json:"headers"`
	Body    octets      `json:"body"`
}

// octets are the bytes of a body. In JSON, the crates 1.0.0-beta.1 and beta.2 write an array of numbers, beta.3
// writes base64.
type octets struct {
	bytes   []byte
	numbers bool
}

func (o *octets) UnmarshalJSON(text []byte) (err error) {
	if len(text) == 0 || text[0] != '[' {
		return json.Unmarshal(text, &o.bytes)
	}
	o.numbers, o.bytes = true, make([]byte, 0, len(text)/3)
	for text = bytes.Trim(text, "[] \t\r\n"); len(text) > 0 && err == nil; {
		var number []byte
		number, text, _ = bytes.Cut(text, []byte(","))
		var n uint64
		n, err = strconv.ParseUint(string(bytes.TrimSpace(number)), 10, 8)
		o.bytes = append(o.bytes, byte(n))
	}
	return err
}

func (o octets) MarshalJSON() ([]byte, error) {
	if !o.numbers {
		return json.Marshal(base64.StdEncoding.EncodeToString(o.bytes)) // no bytes are "" and not null
	}
	out := append(make([]byte, 0, 4*len(o.bytes)+2), '[')
	for k, b := range o.bytes {
		if k > 0 {
			out = append(out, ',')
		}
		out = strconv.AppendUint(out, uint64(b), 10)
	}
	return append(out, ']'), nil
}

// betaRetry is how an idempotent request is retried. The crate promises retries.
var betaRetry = json.RawMessage(`{"attempts":3,"initial_ms":250,"factor":2,"jitter":0.5}`)

// betaOnce keeps the engine from retrying any other request: the crate promises to return its error at once.
var betaOnce = json.RawMessage(`{"attempts":1}`)

// The limits of a call of kind http. Larger values are cut to them.
const (
	maxTimeout = 24 * time.Hour
	maxLimit   = 1 << 30
)

// head returns the head of the call. With tell, the code gets an error if the outcome is unknown.
func (r *httpRequest) head(tell bool) []byte {
	type head struct {
		Method     string          `json:"method"`
		URL        string          `json:"url"`
		Headers    [][2]string     `json:"headers,omitempty"`
		Idempotent bool            `json:"idempotent"`
		Timeout    int64           `json:"timeout_ms"`
		Limit      uint64          `json:"limit"`
		Longer     string          `json:"longer"`
		OnUnknown  string          `json:"on_unknown,omitempty"`
		Retry      json.RawMessage `json:"retry,omitempty"`
	}
	h := head{Method: r.Method, URL: r.URL, Headers: r.Headers, Idempotent: r.Config.Idempotent, Longer: "cut",
		Timeout: max(1, (min(r.Config.Timeout.nanoseconds(0), int64(maxTimeout))+999_999)/1_000_000),
		Limit:   max(1, min(r.Config.Limit, maxLimit))}
	if tell {
		h.OnUnknown = "tell"
	}
	if h.Retry = betaOnce; h.Idempotent {
		h.Retry = betaRetry
	}
	return headOf(h)
}

// safe reports whether the request only reads.
func (r *httpRequest) safe() bool { return r.Method == http.MethodGet || r.Method == http.MethodHead }

// tells reports whether the code gets an error if the outcome of a request is unknown. The alpha crates have no error
// for it, so their runs stop, except for requests that change nothing.
func (s *Session) tells(r *httpRequest) bool {
	return !s.module.stop && (!s.module.alpha || r.safe())
}

// httpResponse is the HttpResponse of the crate flawless-wasabi.
type httpResponse struct {
	Status  uint16      `json:"status_code"`
	URL     string      `json:"url"`
	Headers [][2]string `json:"headers"`
	Body    octets      `json:"body"`
}

// transport is its HttpTransportError.
type transport struct {
	Kind    string `json:"kind"`
	Message string `json:"message"`
	URL     string `json:"url"`
}

// exchanged is its Result<HttpResponse, HttpError>.
type exchanged struct {
	response *httpResponse
	broken   *transport // instead of a response
}

// MarshalJSON encodes a response with a status of 400 or more as an error.
func (e exchanged) MarshalJSON() ([]byte, error) {
	switch {
	case e.broken != nil:
		return encode(map[string]any{"Err": map[string]any{"Transport": e.broken}}), nil
	case e.response.Status >= 400:
		return encode(map[string]any{"Err": map[string]any{"Status": []any{e.response.Status, e.response}}}), nil
	}
	return encode(map[string]any{"Ok": e.response}), nil
}

type answerHead struct {
	Status  uint16      `json:"status"`
	Headers [][2]string `json:"headers"`
	URL     string      `json:"url"`
	Error   *answerError
}

type answerError struct{ Kind, Reason, Message string }

// maxRedirects is how many redirects of a GET or HEAD are followed. Each is a call of its own.
const maxRedirects = 5

// exchange makes the call of a request, follows its redirects, and returns how it ended.
//
// The texts of its own errors are never changed: the guest sees them, and a replay must show it the same bytes.
func (s *Session) exchange(r *httpRequest) exchanged {
	began := s.guest.Now()
	until := began + r.Config.Timeout.nanoseconds(began)
	for hop := 0; ; hop++ {
		a := s.await(s.guest.Call("http", r.head(s.tells(r)), r.Body.bytes))
		var head answerHead
		if err := json.Unmarshal(a.Head, &head); err != nil {
			trap("the answer of call %d cannot be read: %v", a.Call, err)
		}
		if head.Error != nil {
			e := transport{Kind: head.Error.betaKind(r.URL), Message: head.Error.Message, URL: r.URL}
			if head.Error.Reason == "timeout" {
				e.Message = "timed out: " + e.Message
			}
			return exchanged{broken: &e}
		}
		next := r.redirected(&head)
		if next == nil {
			return exchanged{response: head.response(a, r)}
		}
		left := until - s.guest.Now()
		switch {
		case hop == maxRedirects || r.Config.Idempotent: // the engine has already followed redirects of idempotent requests
			return exchanged{broken: &transport{Kind: "TooManyRedirects", Message: "the request was redirected too often, in the end to " + next.URL, URL: r.URL}}
		case left <= 0:
			return exchanged{broken: &transport{Kind: "Io", Message: "timed out: the redirects took longer than the request may", URL: next.URL}}
		}
		next.Config.Timeout = duration{Secs: uint64(left / 1e9), Nanos: uint32(left % 1e9)}
		r = next
	}
}

// originHeaders are the headers that are not sent to another origin.
var originHeaders = []string{"authorization", "cookie", "cookie2", "host", "proxy-authorization", "www-authenticate"}

// redirected returns the request that a response redirects to, nil if the response is no redirect to follow.
func (r *httpRequest) redirected(a *answerHead) *httpRequest {
	location := a.header("location")
	if !r.safe() || location == "" || !slices.Contains([]uint16{301, 302, 303, 307, 308}, a.Status) {
		return nil
	}
	from, err := url.Parse(a.URL)
	if err != nil {
		return nil
	}
	to, err := from.Parse(location)
	if err != nil || to.Scheme != "http" && to.Scheme != "https" {
		return nil
	}
	next := *r
	next.URL = to.String()
	if to.Scheme != from.Scheme || to.Host != from.Host {
		next.Headers = slices.DeleteFunc(slices.Clone(r.Headers), func(f [2]string) bool {
			return slices.Contains(originHeaders, strings.ToLower(f[0]))
		})
	}
	return &next
}

// header returns the first value of a header, "" if there is none.
func (h *answerHead) header(name string) string {
	for _, f := range h.Headers {
		if strings.EqualFold(f[0], name) {
			return f[1]
		}
	}
	return ""
}

// response returns the response as the crate expects it, with header names in lower case.
func (h *answerHead) response(a flawless.Answer, r *httpRequest) *httpResponse {
	body := a.Body
	if uint64(len(body)) > r.Config.Limit {
		body = body[:r.Config.Limit]
	}
	res := &httpResponse{Status: h.Status, URL: h.URL, Headers: [][2]string{}, Body: octets{body, r.Body.numbers}}
	for _, f := range h.Headers {
		res.Headers = append(res.Headers, [2]string{strings.ToLower(f[0]), f[1]})
	}
	return res
}

// betaKind returns the crate's HttpErrorKind for an error.
func (e *answerError) betaKind(target string) string {
	switch {
	case e.Reason == "timeout":
		return "Io"
	case e.Kind == "not_sent" && e.Reason == "name":
		return "Dns"
	case e.Kind == "not_sent":
		return "ConnectionFailed"
	case e.Kind == "interrupted", e.Kind == "unknown", e.Kind == "told":
		return "RequestInterrupted"
	case e.Kind != "invalid":
		return "Io"
	}
	u, err := url.Parse(target)
	switch {
	case err != nil:
		return "InvalidUrl"
	case u.Scheme != "" && u.Scheme != "http" && u.Scheme != "https":
		return "UnknownScheme"
	case strings.Contains(e.Message, `"headers"`):
		return "BadHeader"
	case strings.Contains(e.Message, `"url"`):
		return "InvalidUrl"
	}
	return "Io"
}
