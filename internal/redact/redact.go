// Package redact decides what to hide, and replaces it. Everything that leaves a server passes through it: API
// responses, events, exported runs and the server's own log.
//
// [Mask] hides secrets by their nature: users and passwords in URLs, credential headers, and what the operator
// configures. A mask with a key replaces each with a short keyed hash, so that equal values can be recognised and logs
// compared, but nobody can recover or guess a value without the key. A mask without a key, as for the server's own log,
// replaces each with "redacted". [Redaction] removes values from a run's log that the caller names. Neither changes what
// is stored or what a guest receives.
package redact

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/flawless-engine/flawless"
)

// Headers are hidden regardless of the configuration.
var Headers = []string{"Authorization", "Proxy-Authorization", "Cookie", "Set-Cookie"}

// Mask hides credentials. The zero value hides nothing; it may be used concurrently.
type Mask struct {
	key     []byte // nil: what is hidden becomes "redacted", without a hash
	headers []string
	longest int      // longest header name
	query   []string // parameter names, also in escaped form
	rules   []string
}

// NewMask returns a mask for users and passwords in URLs, the values of [Headers], and the rules in more:
// `header:NAME`, and `query:NAME` for a URL parameter. Errors are flawless.Invalid.
func NewMask(key []byte, more ...string) (*Mask, error) {
	var rules []string
	for _, name := range Headers {
		rules = append(rules, "header:"+name)
	}
	return newMask(key, append(rules, more...))
}

// newMask returns a mask for the rules and for users and passwords in URLs.
func newMask(key []byte, rules []string) (*Mask, error) {
	m := &Mask{key: key}
	for _, rule := range rules {
		kind, name, _ := strings.Cut(rule, ":")
		switch {
		case name == "" || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == 0x7f }):
			return nil, badRule(rule)
		case kind == "header":
			m.headers = append(m.headers, name)
		case kind == "query":
			m.query = append(m.query, spellings(name)...)
		default:
			return nil, badRule(rule)
		}
	}
	for _, rule := range rules {
		m.rules = append(m.rules, "mask:"+rule)
	}
	for _, name := range slices.Concat(m.headers, addresses) {
		m.longest = max(m.longest, len(name))
	}
	return m, nil
}

func badRule(rule string) error {
	return fmt.Errorf("cannot redact %.200q; use header:NAME or query:NAME, such as header:X-Api-Key or query:token: %w", rule, flawless.Invalid)
}

// Rules returns rules with which [NewRedaction] hides the same values. Their hashes use a salt derived from the key
// and a name. The salt is exported with the data, so that it can be compared, and reveals nothing about the key.
func (m *Mask) Rules(name string) []string {
	mac := hmac.New(sha256.New, m.key)
	mac.Write([]byte("salt of " + name))
	return append([]string{"salt:" + hex.EncodeToString(mac.Sum(nil)[:16])}, m.rules...)
}

// Text hides credentials in text: in URLs, and in headers as call and answer heads write them, ["Name","value"], also
// inside nested JSON strings.
func (m *Mask) Text(text string) string {
	if m == nil || m.headers == nil {
		return text
	}
	text = m.members(text)
	text = m.pairs(text)
	text = m.users(text)
	return parameters(text, m.query, m.hide)
}

// Bytes is Text for bytes. It returns non-text unchanged.
func (m *Mask) Bytes(b []byte) []byte {
	if m == nil || !utf8.Valid(b) {
		return b
	}
	text := string(b)
	if out := m.Text(text); out != text {
		return []byte(out)
	}
	return b
}

// Attr hides credentials in log attributes. It is for slog.HandlerOptions.
func (m *Mask) Attr(_ []string, a slog.Attr) slog.Attr {
	switch v := a.Value.Any().(type) {
	case string:
		a.Value = slog.StringValue(m.Text(v))
	case error:
		a.Value = slog.StringValue(m.Text(v.Error()))
	case fmt.Stringer:
		a.Value = slog.StringValue(m.Text(v.String()))
	case []string:
		a.Value = slog.StringValue(m.Text(fmt.Sprint(v)))
	}
	return a
}

// pairs hides header values.
func (m *Mask) pairs(text string) string {
	var out strings.Builder
	rest := text
	for {
		at := strings.IndexByte(rest, '[')
		if at < 0 {
			break
		}
		at++
		out.WriteString(rest[:at])
		rest = rest[at:]
		name, depth, n := quoted(rest[:min(len(rest), m.nameEnd(rest))])
		name = strings.TrimSpace(decoded(name, depth))
		secret := n > 0 && slices.ContainsFunc(m.headers, func(h string) bool { return strings.EqualFold(h, name) })
		address := n > 0 && slices.ContainsFunc(addresses, func(h string) bool { return strings.EqualFold(h, name) })
		if !secret && !address {
			continue
		}
		behind := strings.TrimLeft(rest[n:], " ")
		value, same, length := "", 0, 0
		if after, ok := strings.CutPrefix(behind, ","); ok {
			value, same, length = quoted(after)
			behind = after
		}
		if length == 0 || same != depth {
			continue
		}
		quote := strings.Repeat(`\`, depth) + `"`
		if secret {
			value = m.header(name, decoded(value, depth))
		} else {
			value = m.address(value, depth)
		}
		out.WriteString(rest[:n] + "," + quote + value + quote)
		rest = behind[length:]
	}
	if rest == text {
		return text
	}
	out.WriteString(rest)
	return out.String()
}

// nameEnd returns how far a header name at the beginning of text may extend: each of its characters, and the space
// around it, may be escaped, and the backslash is escaped again at each level of nested JSON.
func (m *Mask) nameEnd(text string) int {
	text = strings.TrimLeft(text, " ")
	return (m.longest + maxPadding) * (backslashes(text) + len(`\u0000`))
}

// maxPadding is the maximum amount of space around a header name.
const maxPadding = 100

// quoted reads a JSON string at the beginning of text, at any level of nested JSON: depth backslashes precede its
// quotes. It returns the raw content and the length of the string, 0 if there is none.
func quoted(text string) (inside string, depth, length int) {
	at := len(text) - len(strings.TrimLeft(text, " "))
	for at < len(text) && text[at] == '\\' {
		depth++
		at++
	}
	if at == len(text) || text[at] != '"' {
		return "", 0, 0
	}
	at++
	run := 0
	for i := at; i < len(text); i++ {
		switch {
		case text[i] == '\\':
			run++
			continue
		case text[i] == '"' && run%(2*(depth+1)) == depth:
			return text[at : i-depth], depth, i + 1
		}
		run = 0
	}
	return "", 0, 0
}

// decoded decodes the raw content of a JSON string.
func decoded(inside string, depth int) string {
	if !strings.Contains(inside, `\`) {
		return inside
	}
	for ; depth >= 0; depth /= 2 {
		var s string
		if json.Unmarshal([]byte(`"`+inside+`"`), &s) != nil {
			return inside
		}
		inside = s
		if depth == 0 {
			break
		}
	}
	return inside
}

// header returns the masked value of a header. Cookies keep their names and attributes, so that code that receives a
// masked Set-Cookie during a replay sends the masked Cookie of the log.
func (m *Mask) header(name, value string) string {
	switch {
	case strings.EqualFold(name, "Set-Cookie"):
		first, attributes, more := strings.Cut(value, ";")
		if first = m.cookie(first); more {
			first += ";" + asJSON(attributes)
		}
		return first
	case strings.EqualFold(name, "Cookie"):
		all := strings.Split(value, ";")
		for i := range all {
			all[i] = m.cookie(all[i])
		}
		return strings.Join(all, ";")
	}
	return m.credentials(value)
}

func (m *Mask) cookie(pair string) string {
	name, value, ok := strings.Cut(pair, "=")
	if !ok || asJSON(name) != name {
		return m.hide(pair)
	}
	return name + "=" + m.hide(value)
}

// asJSON returns text that needs no escaping in a JSON string, dropping other characters.
func asJSON(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == '"' || r == '\\' {
			return -1
		}
		return r
	}, text)
}

// placeholders matches the placeholders of server secrets, which may be shown, with a scheme in front.
var placeholders = regexp.MustCompile(`^(?:[A-Za-z]+ )?` + regexp.QuoteMeta(flawless.PlaceholderStart) + `[A-Za-z0-9_-]{1,100}\.[0-9a-f]{32}$`)

// credentials masks the value of a header. A user and password in it (RFC 7617) get the same hash as in a URL.
func (m *Mask) credentials(value string) string {
	if placeholders.MatchString(value) {
		return value
	}
	if kind, rest, ok := strings.Cut(value, " "); ok && strings.EqualFold(kind, "basic") {
		if pair, err := base64.StdEncoding.DecodeString(strings.TrimSpace(rest)); err == nil && utf8.Valid(pair) {
			return m.hide(string(pair))
		}
	}
	return m.hide(value)
}

// hidden matches a masked value.
var hidden = regexp.MustCompile(`^redacted(:[0-9a-f]{12})?$`)

// hide returns the replacement of a value. An already masked value stays the same, so that a log can be compared with
// the calls of code that received masked values.
func (m *Mask) hide(value string) string {
	switch {
	case value == "" || hidden.MatchString(value):
		return value
	case m.key == nil:
		return "redacted"
	}
	mac := hmac.New(sha256.New, m.key)
	mac.Write([]byte(value))
	return "redacted:" + hex.EncodeToString(mac.Sum(nil)[:6])
}
