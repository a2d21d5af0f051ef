package effect

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect/transport"
)

// veil replaces placeholders by secrets in what a run sends to one server, and secrets by placeholders in what comes
// back.
type veil struct {
	server  transport.Server
	seed    []byte
	token   string
	secrets []flawless.OpenSecret
	masks   []mask // values that must not reach the run, longest first
}

// mask is a value in one of its encodings, and the placeholder for it.
type mask struct{ value, placeholder string }

func (c *Client) veil(server transport.Server, seed []byte) *veil {
	v := &veil{server: server, seed: seed}
	if c.secrets != nil {
		v.secrets = c.secrets()
	}
	return v
}

// own returns the token of the run's placeholders.
func (v *veil) own() string {
	if v.token == "" {
		v.token = flawless.SecretToken(v.seed)
	}
	return v.token
}

// encoding encodes a text for some part of a request.
type encoding func(string) string

func plain(s string) string { return s }

// inJSON encodes a text as the inside of a JSON string.
func inJSON(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // it cannot fail: a string
	return strings.TrimSuffix(strings.TrimPrefix(strings.TrimSuffix(b.String(), "\n"), `"`), `"`)
}

func inHTMLSafeJSON(s string) string {
	b, _ := json.Marshal(s) // it cannot fail: a string
	return strings.TrimSuffix(strings.TrimPrefix(string(b), `"`), `"`)
}

// inGo encodes a text as error messages of Go quote it. Those of an HTTP/2 connection quote what the server sent last.
func inGo(s string) string {
	q := strconv.Quote(s)
	return q[1 : len(q)-1]
}

func inPHPJSON(s string) string { return strings.ReplaceAll(inHTMLSafeJSON(s), "/", `\/`) }

// echoes are the encodings in which a server may send a value back.
var echoes = []encoding{
	plain, inJSON, inHTMLSafeJSON, inPHPJSON, inGo, url.QueryEscape, url.PathEscape,
	func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
	func(s string) string { return base64.RawStdEncoding.EncodeToString([]byte(s)) },
	func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) },
	within(base64.RawStdEncoding, 0), within(base64.RawStdEncoding, 1), within(base64.RawStdEncoding, 2),
	within(base64.RawURLEncoding, 0), within(base64.RawURLEncoding, 1), within(base64.RawURLEncoding, 2),
}

// within returns how a text looks in the base64 of a longer text such as ann:TEXT, if it begins that many bytes after
// the start of a group of three. It has only the characters that encode no other byte; those at both ends, which hold
// four bits of the text or less, are left out. A text whose encoding would be too short to be unique is returned as
// it is.
func within(enc *base64.Encoding, behind int) encoding {
	const minLength = 8
	return func(s string) string {
		whole := enc.EncodeToString(append(make([]byte, behind), s...))
		from, to := (behind*8+5)/6, (behind+len(s))*8/6
		if to-from < minLength {
			return s
		}
		return whole[from:to]
	}
}

// fill replaces placeholders by the secrets.
func (v *veil) fill(text string, write encoding) (string, error) {
	at := strings.Index(text, flawless.PlaceholderStart)
	if at < 0 {
		return text, nil
	}
	var b strings.Builder
	for ; at >= 0; at = strings.Index(text, flawless.PlaceholderStart) {
		b.WriteString(text[:at])
		text = text[at:]
		name, length := v.placeholder(text)
		if length == 0 { // it only looks like a placeholder, or is that of another run
			b.WriteString(text[:len(flawless.PlaceholderStart)])
			text = text[len(flawless.PlaceholderStart):]
			continue
		}
		value, err := v.value(name)
		if err != nil {
			return "", err
		}
		b.WriteString(write(value))
		text = text[length:]
	}
	b.WriteString(text)
	return b.String(), nil
}

// placeholder returns the name and the length of the placeholder that text begins with, 0 if it does not begin with a
// placeholder of this run.
func (v *veil) placeholder(text string) (name string, length int) {
	rest := text[len(flawless.PlaceholderStart):]
	n := flawless.SecretNameLength(rest)
	if n == 0 || !strings.HasPrefix(rest[n:], "."+v.own()) {
		return "", 0
	}
	return rest[:n], len(flawless.PlaceholderStart) + n + 1 + len(v.own())
}

// value returns the value of a secret if it may be sent to the server.
func (v *veil) value(name string) (string, error) {
	i := slices.IndexFunc(v.secrets, func(s flawless.OpenSecret) bool { return s.Name == name })
	if i < 0 {
		return "", fmt.Errorf("there is no secret %s; set it with: flawless secret set %s --host %s", name, name, v.server)
	}
	s := &v.secrets[i]
	switch {
	case s.Problem != "":
		return "", fmt.Errorf("secret %s cannot be used: %s", name, s.Problem)
	case !s.Allows(v.server.Scheme, v.server.Host, v.server.Port):
		return "", fmt.Errorf("secret %s must not be sent to %s, only to %s; if it should, set it again with that host added", name, v.server, strings.Join(s.Hosts, ", "))
	}
	return s.Value, nil
}

// reveal returns the request as it is sent, which is r itself if it has no placeholder.
func (v *veil) reveal(r *request) (*request, error) {
	out := *r
	out.Fields = slices.Clone(r.Fields)
	changed := false
	var err error
	for i, f := range out.Fields {
		if out.Fields[i].Value, err = v.field(f); err != nil {
			return nil, err
		}
		if out.Fields[i].Value != f.Value {
			changed = true
			if !httpguts.ValidHeaderFieldValue(out.Fields[i].Value) {
				return nil, fmt.Errorf("a secret in the header %s has a control character, such as a line break", f.Name)
			}
		}
	}
	if strings.Contains(r.URL.String(), flawless.PlaceholderStart) {
		changed = true
		if out.URL, err = v.url(r.URL); err != nil {
			return nil, err
		}
	}
	if bytes.Contains(r.Body, []byte(flawless.PlaceholderStart)) {
		changed = true
		text, err := v.fill(string(r.Body), r.bodyEncoding())
		if err != nil {
			return nil, err
		}
		out.Body = []byte(text)
	}
	if !changed {
		return r, nil
	}
	if r.Host != hostHeader(r.URL) {
		return nil, fmt.Errorf("the request has a secret and the header Host says %.100q, which is another server; leave the header out", r.Host)
	}
	out.drop("Accept-Encoding") // the response must not be compressed, so that the value is found in it
	out.offer("Accept-Encoding", "identity")
	return &out, nil
}

// field fills the value of a header field, also inside the user and password of RFC 7617.
func (v *veil) field(f transport.Field) (string, error) {
	kind, credentials, _ := strings.Cut(f.Value, " ")
	if f.Name == "Authorization" && strings.EqualFold(kind, "basic") {
		pair, err := base64.StdEncoding.DecodeString(strings.TrimSpace(credentials))
		if err == nil && bytes.Contains(pair, []byte(flawless.PlaceholderStart)) {
			open, err := v.fill(string(pair), plain)
			if err != nil {
				return "", err
			}
			sent := base64.StdEncoding.EncodeToString([]byte(open))
			if sent != credentials {
				v.masks = append(v.masks, mask{sent, credentials})
			}
			return kind + " " + sent, nil
		}
	}
	return v.fill(f.Value, plain)
}

func (v *veil) url(u *url.URL) (*url.URL, error) {
	out := *u
	path, err := v.fill(u.EscapedPath(), url.PathEscape)
	if err != nil {
		return nil, err
	}
	if out.RawQuery, err = v.fill(u.RawQuery, url.QueryEscape); err != nil {
		return nil, err
	}
	if out.Path, err = url.PathUnescape(path); err != nil {
		return nil, fmt.Errorf("the path of the request cannot be read: %w", err)
	}
	out.RawPath = path
	return &out, nil
}

func (r *request) bodyEncoding() encoding {
	for _, f := range r.Fields {
		if f.Name != "Content-Type" {
			continue
		}
		switch t := strings.ToLower(f.Value); {
		case strings.Contains(t, "json"):
			return inJSON
		case strings.HasPrefix(t, "application/x-www-form-urlencoded"):
			return url.QueryEscape
		}
	}
	return plain
}

// hide replaces secrets by placeholders in all that came back.
func (v *veil) hide(a *transport.Reply, f *transport.Fault) {
	if len(v.secrets) == 0 {
		return
	}
	v.gather()
	if f != nil && len(v.masks) > 0 {
		if errors.As(f.Err, new(*transport.Garbled)) {
			f.Err = errors.New("the response is not HTTP, and is not quoted because it may hold a secret")
		}
		if text := f.Err.Error(); v.hidden(text) != text {
			f.Err = errors.New(v.hidden(text)) // the wrapped errors hold the value, too
		}
	}
	if a == nil {
		return
	}
	for name, values := range a.Header {
		for i := range values {
			values[i] = v.hidden(values[i])
		}
		if clean := v.hidden(name); clean != name {
			delete(a.Header, name)
			a.Header[clean] = values
		}
	}
	if a.Cut {
		a.Body = a.Body[:v.sure(a.Body)]
	}
	before := len(a.Body)
	for _, m := range v.masks {
		if bytes.Contains(a.Body, []byte(m.value)) {
			a.Body = bytes.ReplaceAll(a.Body, []byte(m.value), []byte(m.placeholder))
		}
	}
	if len(a.Body) != before && a.Header.Get("Content-Length") != "" {
		a.Header = a.Header.Clone()
		a.Header.Set("Content-Length", strconv.Itoa(len(a.Body)))
	}
}

// gather adds the masks of all secrets that may be sent to the server, because it may know any of them.
func (v *veil) gather() {
	for i := range v.secrets {
		s := &v.secrets[i]
		if s.Problem != "" || !s.Allows(v.server.Scheme, v.server.Host, v.server.Port) {
			continue
		}
		for _, write := range echoes {
			m := mask{write(s.Value), flawless.Placeholder(s.Name, v.own())}
			if !slices.Contains(v.masks, m) {
				v.masks = append(v.masks, m)
			}
			if header := http.CanonicalHeaderKey(m.value); header != m.value {
				v.masks = append(v.masks, mask{header, m.placeholder})
			}
		}
	}
	slices.SortStableFunc(v.masks, func(a, b mask) int { return cmp.Compare(len(b.value), len(a.value)) })
}

// Redactor returns a function that replaces the values of secrets by their names, in all encodings in which a request
// or a response may have them.
func Redactor(secrets []flawless.OpenSecret) func(text string) string {
	v := &veil{}
	for _, s := range secrets {
		for _, write := range echoes {
			v.masks = append(v.masks, mask{write(s.Value), flawless.PlaceholderStart + s.Name})
		}
	}
	slices.SortStableFunc(v.masks, func(a, b mask) int { return cmp.Compare(len(b.value), len(a.value)) })
	return v.hidden
}

// sure returns how many bytes of an incomplete body can be passed on: the rest may be the beginning of a value.
func (v *veil) sure(body []byte) int {
	if len(v.masks) == 0 {
		return len(body)
	}
	tail := string(body[max(0, len(body)-len(v.masks[0].value)+1):])
	begun := func(m mask) bool { return len(m.value) > len(tail) && strings.HasPrefix(m.value, tail) }
	for tail != "" && !slices.ContainsFunc(v.masks, begun) {
		tail = tail[1:]
	}
	at := len(body) - len(tail)
	// A complete value that crosses this offset would no longer be found, and is held back as well.
	for found := true; found; {
		found = false
		for _, m := range v.masks {
			from, to := max(0, at-len(m.value)+1), min(len(body), at+len(m.value)-1)
			if i := bytes.Index(body[from:to], []byte(m.value)); i >= 0 {
				at, found = from+i, true
			}
		}
	}
	return at
}

func (v *veil) hidden(text string) string {
	for _, m := range v.masks {
		text = strings.ReplaceAll(text, m.value, m.placeholder)
	}
	return text
}
