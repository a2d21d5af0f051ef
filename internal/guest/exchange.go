package guest

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
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
	Body    string      `json:"body"` // base64
}

// betaRetry is how an idempotent request is tried again, which the crate says happens by itself.
var betaRetry = json.RawMessage(`{"attempts":3,"initial_ms":250,"factor":2,"jitter":0.5}`)

// betaOnce keeps the engine from trying any other request again: the crate says that its error comes at once.
var betaOnce = json.RawMessage(`{"attempts":1}`)

// The limits of a call of kind http; what a guest asks for beyond them it does not get.
const (
	mostTimeout = 24 * time.Hour
	mostLimit   = 1 << 30
)

// head is the head of the call.
func (r *httpRequest) head(stop bool) []byte {
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
	h := head{Method: r.Method, URL: r.URL, Headers: r.Headers, Idempotent: r.Config.Idempotent, Longer: "cut", OnUnknown: "tell",
		Timeout: max(1, (min(r.Config.Timeout.nanoseconds(0), int64(mostTimeout))+999_999)/1_000_000),
		Limit:   max(1, min(r.Config.Limit, mostLimit))}
	if stop {
		h.OnUnknown = ""
	}
	if h.Retry = betaOnce; h.Idempotent {
		h.Retry = betaRetry
	}
	b, err := json.Marshal(h)
	if err != nil {
		panic("guest: a head that is not JSON: " + err.Error())
	}
	return b
}

// httpResponse is the HttpResponse of the crate flawless-wasabi.
type httpResponse struct {
	Status  uint16      `json:"status_code"`
	URL     string      `json:"url"`
	Headers [][2]string `json:"headers"`
	Body    string      `json:"body"` // base64
}

// transport is its HttpTransportError.
type transport struct {
	Kind    string `json:"kind"`
	Message string `json:"message"`
	URL     string `json:"url"`
}

type answerHead struct {
	Status  uint16      `json:"status"`
	Headers [][2]string `json:"headers"`
	URL     string      `json:"url"`
	Error   *answerError
}

type answerError struct{ Kind, Reason, Message string }

// exchange makes the call of a request and returns how it ended.
func (i *Instance) exchange(r *httpRequest) []byte {
	body, err := base64.StdEncoding.DecodeString(r.Body)
	if err != nil {
		trap("the guest submitted a request whose body is not base64: %v", err)
	}
	a := i.await(i.ask("http", r.head(i.m.beta.stop), body))
	var head answerHead
	if err := json.Unmarshal(a.Head, &head); err != nil {
		trap("the answer of call %d cannot be read: %v", a.Call, err)
	}
	if head.Error != nil {
		e := transport{Kind: head.Error.betaKind(r.URL), Message: head.Error.Message, URL: r.URL}
		if head.Error.Reason == "timeout" {
			e.Message = "timed out: " + e.Message
		}
		return tagged("HTTPResponse", map[string]any{"Err": map[string]any{"Transport": e}})
	}
	res := head.response(a, r.Config.Limit)
	if head.Status >= 400 {
		return tagged("HTTPResponse", map[string]any{"Err": map[string]any{"Status": []any{head.Status, res}}})
	}
	return tagged("HTTPResponse", map[string]any{"Ok": res})
}

// response is a complete one. The crate compares names of headers as they are: they are lower case.
func (h *answerHead) response(a flawless.Answer, limit uint64) httpResponse {
	body := a.Body
	if uint64(len(body)) > limit {
		body = body[:limit]
	}
	res := httpResponse{Status: h.Status, URL: h.URL, Headers: [][2]string{}, Body: base64.StdEncoding.EncodeToString(body)}
	for _, f := range h.Headers {
		res.Headers = append(res.Headers, [2]string{strings.ToLower(f[0]), f[1]})
	}
	return res
}

// betaKind is the crate's HttpErrorKind of an error.
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
