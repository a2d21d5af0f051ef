package effect

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/net/http/httpguts"
	"golang.org/x/net/idna"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect/transport"
)

const (
	defaultTimeout   = 120 * time.Second
	maxTimeout       = 24 * time.Hour
	defaultLimit     = 10 << 20
	maxLimit         = 1 << 30
	defaultRedirects = 10
	maxRedirects     = 100
)

// httpHead is the head of an http call.
type httpHead struct {
	Method     string     `json:"method"`
	URL        string     `json:"url"`
	Headers    [][]string `json:"headers"`
	Idempotent *bool      `json:"idempotent"`
	TimeoutMS  int64      `json:"timeout_ms"`
	Limit      int64      `json:"limit"`
	OnUnknown  string     `json:"on_unknown"`
	Longer     string     `json:"longer"`
	Redirects  *int       `json:"redirects"`
	Retry      *retryHead `json:"retry"`
	Stream     bool       `json:"stream"`
	RetryForMS *int64     `json:"retry_for_ms"`
	KeyMS      *int64     `json:"key_within_ms"`
}

// request is a parsed http call.
type request struct {
	transport.Request
	sized     bool // its headers include Content-Length
	tell      bool
	timeout   time.Duration
	redirects int
	retry     Retry
	statuses  []int
	streamed  bool           // the response is read while it comes
	stream    *stream        // of an attempt whose response is streamed
	byCode    bool           // the code says whether it is idempotent
	within    time.Duration  // how long the server knows its key, as the code says
	retryFor  *time.Duration // how long it may be retried
}

// checked is a head that was parsed.
type checked struct {
	head   string
	policy Policy
}

// checkHTTP returns the check of http calls. It remembers the last head, as runs often make the same request with
// another body.
func checkHTTP() func(c flawless.Call) (Policy, error) {
	var last atomic.Pointer[checked]
	return func(c flawless.Call) (Policy, error) {
		if l := last.Load(); l != nil && l.head == string(c.Head) {
			return l.policy, nil
		}
		r, err := parseHTTP(c)
		if err != nil {
			return Policy{}, err
		}
		p := Policy{Title: r.title(), Idempotent: r.Idempotent, Tell: r.tell, Retry: r.retry,
			ByCode: r.byCode, Within: r.within, Keyless: !r.keyed(), For: r.retryFor, Host: flawless.CanonicalHost(r.Server().Host), Port: r.Server().Port, request: r}
		if r.Body = nil; !r.sized {
			last.Store(&checked{string(c.Head), p})
		}
		return p, nil
	}
}

// OwnKey returns the idempotency key that the code gives an http call, "" if it leaves that to the engine.
func (p *Policy) OwnKey() string {
	if p.request == nil {
		return ""
	}
	for _, f := range p.request.Fields {
		if f.Name == keyHeader {
			return f.Value
		}
	}
	return ""
}

// Known returns a name for a request under an idempotency key. To the server, calls with the same name are
// repetitions of each other.
func (p *Policy) Known(key string) string {
	sum := sha256.Sum256([]byte(p.request.Method + " " + p.request.URL.String() + "\n" + key))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// parseHTTP parses an http call. For timeout_ms and limit, 0 is the default.
func parseHTTP(c flawless.Call) (*request, error) {
	var h httpHead
	if err := decode(c, &h); err != nil {
		return nil, err
	}
	r := &request{redirects: defaultRedirects, timeout: defaultTimeout, streamed: h.Stream}
	r.Method, r.Body, r.Limit = h.Method, c.Body, defaultLimit
	if err := r.setMethod(h.Method); err != nil {
		return nil, err
	}
	if err := r.setURL(h.URL); err != nil {
		return nil, err
	}
	if err := r.setFields(h.Headers); err != nil {
		return nil, err
	}
	if u := r.URL.User; u != nil {
		r.URL.User = nil
		password, _ := u.Password()
		r.offer("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(u.Username()+":"+password)))
	}
	switch {
	case h.TimeoutMS < 0 || h.TimeoutMS > maxTimeout.Milliseconds():
		return nil, invalid(HTTP, `member "timeout_ms" is %d, give 1 to %d`, h.TimeoutMS, maxTimeout.Milliseconds())
	case h.TimeoutMS > 0:
		r.timeout = time.Duration(h.TimeoutMS) * time.Millisecond
	}
	switch {
	case h.Limit < 0 || h.Limit > maxLimit:
		return nil, invalid(HTTP, `member "limit" is %d, give 1 to %d bytes`, h.Limit, maxLimit)
	case h.Limit > 0:
		r.Limit = h.Limit
	}
	switch h.Longer {
	case "", "error":
	case "cut":
		r.Cut = true
	default:
		return nil, invalid(HTTP, `member "longer" is %q, give "error" or "cut"`, h.Longer)
	}
	if h.Redirects != nil {
		if r.redirects = *h.Redirects; r.redirects < 0 || r.redirects > maxRedirects {
			return nil, invalid(HTTP, `member "redirects" is %d, give 0 to %d`, r.redirects, maxRedirects)
		}
	}
	switch h.OnUnknown {
	case "", "stop":
	case "tell":
		r.tell = true
	default:
		return nil, invalid(HTTP, `member "on_unknown" is %q, give "stop" or "tell"`, h.OnUnknown)
	}
	within, err := milliseconds("key_within_ms", h.KeyMS, 1)
	if err != nil {
		return nil, err
	}
	switch {
	case within != nil && !r.Idempotent: // it is idempotent for that long, under the same key
		r.within, r.byCode = *within, true
		if !r.keyed() {
			return nil, invalid(HTTP, `member "key_within_ms" is given with an empty Idempotency-Key, leave one of them out`)
		}
	case h.Idempotent != nil:
		r.Idempotent, r.byCode = *h.Idempotent, true
	}
	if r.retryFor, err = milliseconds("retry_for_ms", h.RetryForMS, 0); err != nil {
		return nil, err
	}
	r.retry, r.statuses, err = h.Retry.policy(r.Idempotent)
	return r, err
}

// keyed reports whether the request is sent with an idempotency key, the engine's or the code's own.
func (r *request) keyed() bool {
	const name = "Idempotency-Key"
	return !r.has(name) || !slices.Contains(r.Fields, transport.Field{Name: name})
}

// setMethod sets the method, and whether the call is idempotent (RFC 9110, section 9.2.2).
func (r *request) setMethod(m string) error {
	switch m {
	case "":
		m = http.MethodGet
	case http.MethodConnect:
		return invalid(HTTP, `member "method" is CONNECT, but a call cannot make a tunnel`)
	}
	if !httpguts.ValidHeaderFieldName(m) || strings.ToUpper(m) != m || len(m) > 40 {
		return invalid(HTTP, `member "method" is %.50q, give a method in capital letters such as POST`, m)
	}
	r.Method = m
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPut, http.MethodDelete, http.MethodTrace:
		r.Idempotent = true
	}
	return nil
}

func (r *request) setURL(s string) error {
	if s == "" {
		return invalid(HTTP, `member "url" is missing`)
	}
	u, err := url.Parse(s)
	if err != nil {
		// err and u quote parts of the URL, which may belong to a password.
		return invalid(HTTP, `member "url" is not a URL; write it like https://example.com/path and escape other characters in it (it is not quoted here, because it may hold a password)`)
	}
	user := u.User
	u.User = nil
	if why := normalise(u); why != "" {
		return invalid(HTTP, `member "url": %s`, why)
	}
	u.User = user // until the header fields are set
	r.URL, r.Host = u, hostHeader(u)
	return nil
}

// normalise brings a URL into the form in which it is sent, or returns why it cannot. The reason quotes nothing of
// the URL: in a malformed URL, any part may be a password.
func normalise(u *url.URL) (why string) {
	if u.Scheme != "http" && u.Scheme != "https" {
		return "the scheme is not http or https"
	}
	name := u.Hostname()
	if name == "" {
		return "the host is missing"
	}
	if u.User != nil {
		return "it holds a user or password"
	}
	if p := u.Port(); p != "" {
		if n, err := strconv.Atoi(p); err != nil || n < 1 || n > 65535 {
			return "the port is not 1 to 65535"
		}
	}
	if !ascii(name) {
		plain, err := idna.Lookup.ToASCII(name)
		if err != nil {
			return "the host is not a name or an address"
		}
		u.Host = plain + strings.TrimPrefix(u.Host, name)
	}
	if !httpguts.ValidHostHeader(u.Host) || strings.ContainsAny(u.Host, "/\\@ ") {
		return "the host is not a name or an address"
	}
	u.Fragment, u.RawFragment = "", ""
	u.RawQuery = escape(u.RawQuery)
	return ""
}

// hostHeader returns the host as it is sent, without the zone of an IPv6 address.
func hostHeader(u *url.URL) string {
	start, end := strings.IndexByte(u.Host, '%'), strings.LastIndexByte(u.Host, ']')
	if start < 0 || end < start {
		return u.Host
	}
	return u.Host[:start] + u.Host[end:]
}

func ascii(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= 0x80 })
}

// escape escapes what is not allowed in a request line.
func escape(s string) string {
	plain := func(c byte) bool { return c > ' ' && c < 0x7f }
	for i := range len(s) {
		if plain(s[i]) {
			continue
		}
		var b strings.Builder
		for j := range len(s) {
			if c := s[j]; plain(c) {
				b.WriteByte(c)
			} else {
				b.WriteString("%" + strings.ToUpper(strconv.FormatInt(int64(c)+256, 16)[1:]))
			}
		}
		return b.String()
	}
	return s
}

// connectionHeaders are the headers that belong to the connection, which is not the guest's.
var connectionHeaders = []string{"Connection", "Http2-Settings", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade"}

func (r *request) setFields(headers [][]string) error {
	r.Fields = make([]transport.Field, 0, len(headers)+2)
	hosts := 0
	for i, h := range headers {
		if len(h) != 2 {
			return invalid(HTTP, `member "headers": entry %d has %d strings, give a name and a value`, i, len(h))
		}
		if !httpguts.ValidHeaderFieldName(h[0]) {
			return invalid(HTTP, `member "headers": entry %d has the name %.100q, which HTTP does not allow`, i, h[0])
		}
		if !httpguts.ValidHeaderFieldValue(h[1]) {
			return invalid(HTTP, `member "headers": the value of %s holds a control character`, h[0])
		}
		f := transport.Field{Name: http.CanonicalHeaderKey(h[0]), Value: strings.Trim(h[1], " \t")}
		switch {
		case slices.Contains(connectionHeaders, f.Name):
			return invalid(HTTP, `member "headers": %s belongs to the connection, leave it out`, f.Name)
		case f.Name == "Content-Length":
			if r.sized = true; f.Value != strconv.Itoa(len(r.Body)) {
				return invalid(HTTP, `member "headers": Content-Length is %.40q and the body has %d bytes, leave it out`, f.Value, len(r.Body))
			}
		case f.Name == "Host":
			if hosts++; hosts > 1 || f.Value == "" || !httpguts.ValidHostHeader(f.Value) {
				return invalid(HTTP, `member "headers": Host is given twice or is not a host`)
			}
			r.Host = f.Value
		default:
			r.Fields = append(r.Fields, f)
		}
	}
	return nil
}

func (r *request) has(name string) bool {
	return slices.ContainsFunc(r.Fields, func(f transport.Field) bool { return f.Name == name })
}

// offer adds a header if the guest has not set it.
func (r *request) offer(name, value string) {
	if !r.has(name) {
		r.Fields = append(r.Fields, transport.Field{Name: name, Value: value})
	}
}

// complete adds the headers that every request has, unless the guest has set them.
func (r *request) complete(run string, call int) {
	r.offer("User-Agent", "flawless/"+flawless.Version)
	r.offer(keyHeader, engineKey(run, call))
}

const keyHeader = "Idempotency-Key"

// engineKey returns the idempotency key of a request to which the code gave none.
func engineKey(run string, call int) string { return run + "-" + strconv.Itoa(call) }

// maxSentBody is how many bytes of the body of a request are shown to people.
const maxSentBody = 16 << 10

// SentBy returns what the server sees of an http call of a run.
func SentBy(run string, c flawless.Call) (*flawless.Sent, error) {
	r, err := parseHTTP(c)
	if err != nil {
		return nil, err
	}
	r.complete(run, c.N)
	s := &flawless.Sent{Method: r.Method, URL: r.URL.String(), Body: c.Body[:min(len(c.Body), maxSentBody)], Size: len(c.Body)}
	pairs := make([][2]string, 0, len(r.Fields))
	for _, f := range r.Fields {
		pairs = append(pairs, [2]string{f.Name, f.Value})
		if f.Name == keyHeader {
			s.IdempotencyKey = f.Value
		}
	}
	s.Headers, err = json.Marshal(pairs)
	return s, err
}

// drop removes headers.
func (r *request) drop(names ...string) {
	r.Fields = slices.DeleteFunc(slices.Clone(r.Fields), func(f transport.Field) bool { return slices.Contains(names, f.Name) })
}

// title returns the request in one line for people. It leaves the query out, which may hold secrets.
func (r *request) title() string {
	t := r.Method + " " + r.URL.Scheme + "://" + r.URL.Host + r.URL.EscapedPath()
	if r.URL.RawQuery != "" {
		t += "?…"
	}
	return t
}
