package effect_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/http2"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
)

// The value needs escaping wherever it is written.
const secretValue = `s3cr/t "v&l+e" <7>`

var (
	ownSeed     = []byte("seed of the run")
	placeholder = flawless.Placeholder("TOKEN", flawless.SecretToken(ownSeed))
)

// vaultOf returns a client with a secret that is allowed for these hosts.
func vaultOf(t *testing.T, hosts ...string) *effect.Client {
	all := []flawless.OpenSecret{
		{Secret: flawless.Secret{Name: "TOKEN", Hosts: hosts}, Value: secretValue},
		{Secret: flawless.Secret{Name: "LOCKED", Hosts: hosts, Problem: "its key is not at hand"}},
		{Secret: flawless.Secret{Name: "LINES", Hosts: hosts}, Value: "one\r\nX-Evil: two"},
	}
	return secretClient(t, effect.ClientOptions{}, func() []flawless.OpenSecret { return all })
}

func send(t *testing.T, c *effect.Client, made flawless.Call) effect.Result {
	t.Helper()
	return c.Perform(t.Context(), effect.Attempt{Run: "wkf_x", Call: made, N: 1, Seed: ownSeed})
}

// parrot echoes each request, and records it.
type parrot struct {
	*httptest.Server
	mu   sync.Mutex
	seen []*http.Request
	body string
}

func newParrot(t *testing.T) *parrot {
	e := &parrot{}
	e.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		e.mu.Lock()
		e.seen, e.body = append(e.seen, r), string(b)
		e.mu.Unlock()
		w.Header().Set("X-Echo", r.Header.Get("X-Key"))
		quoted, _ := json.Marshal(secretValue)
		text := fmt.Sprintf("%s %v %s", r.URL, r.Header, b)
		for _, more := range []string{secretValue, string(quoted), strings.ReplaceAll(string(quoted), "/", `\/`), url.QueryEscape(secretValue),
			url.PathEscape(secretValue), base64.StdEncoding.EncodeToString([]byte(secretValue)), base64.RawURLEncoding.EncodeToString([]byte(secretValue))} {
			text += "\n" + more
		}
		_, _ = io.WriteString(w, text)
	}))
	t.Cleanup(e.Close)
	return e
}

// leaks reports whether a text contains the value in any form.
func leaks(text string) bool {
	for _, part := range []string{"s3cr", "v&l", "v%26l", base64.RawStdEncoding.EncodeToString([]byte(secretValue))[:12], base64.RawStdEncoding.EncodeToString([]byte("ann:" + secretValue))[:16]} {
		if strings.Contains(text, part) {
			return true
		}
	}
	return false
}

func TestPlaceholderIsReplacedBySecret(t *testing.T) {
	t.Parallel()
	quoted, _ := json.Marshal(map[string]string{"key": secretValue})
	for _, row := range []struct {
		name string
		made func(url string) flawless.Call
		got  func(e *parrot) string
		want string
	}{
		{"a header", func(u string) flawless.Call {
			return call("", "url", u, "headers", [][]string{{"X-Key", "Bearer " + placeholder + "!"}})
		}, func(e *parrot) string { return e.seen[0].Header.Get("X-Key") }, "Bearer " + secretValue + "!"},
		{"a user and password", func(u string) flawless.Call {
			return call("", "url", u, "headers", [][]string{{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte("ann:"+placeholder))}})
		}, func(e *parrot) string { _, p, _ := e.seen[0].BasicAuth(); return p }, secretValue},
		{"the query", func(u string) flawless.Call { return call("", "url", u+"/?a=1&key="+placeholder+"&b=2") },
			func(e *parrot) string { return e.seen[0].URL.Query().Get("key") + e.seen[0].URL.Query().Get("b") }, secretValue + "2"},
		{"the path", func(u string) flawless.Call { return call("", "url", u+"/bot"+placeholder+"/send") },
			func(e *parrot) string { return e.seen[0].URL.Path }, "/bot" + secretValue + "/send"},
		{"a body of JSON", func(u string) flawless.Call {
			return call(`{"key":"`+placeholder+`"}`, "method", "POST", "url", u, "headers", [][]string{{"Content-Type", "application/json"}})
		}, func(e *parrot) string {
			var v map[string]string
			_ = json.Unmarshal([]byte(e.body), &v)
			b, _ := json.Marshal(v)
			return string(b)
		}, string(quoted)},
		{"a form", func(u string) flawless.Call {
			return call("a=1&key="+placeholder, "method", "POST", "url", u, "headers", [][]string{{"Content-Type", "application/x-www-form-urlencoded"}})
		}, func(e *parrot) string { v, _ := url.ParseQuery(e.body); return v.Get("key") }, secretValue},
		{"a plain body, twice", func(u string) flawless.Call { return call(placeholder+" "+placeholder, "method", "POST", "url", u) },
			func(e *parrot) string { return e.body }, secretValue + " " + secretValue},
		{"not the placeholder of another run", func(u string) flawless.Call {
			return call(flawless.Placeholder("TOKEN", flawless.SecretToken([]byte("another"))), "method", "POST", "url", u)
		}, func(e *parrot) string { return e.body }, flawless.Placeholder("TOKEN", flawless.SecretToken([]byte("another")))},
		{"not the beginning of one", func(u string) flawless.Call { return call("flawless-secret.TOKEN", "method", "POST", "url", u) },
			func(e *parrot) string { return e.body }, "flawless-secret.TOKEN"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			e := newParrot(t)
			r := send(t, vaultOf(t, e.URL), row.made(e.URL))
			if r.Outcome != effect.Answered {
				t.Fatalf("it is %+v", r)
			}
			if got := row.got(e); got != row.want {
				t.Errorf("the server got %q, want %q", got, row.want)
			}
			if text := string(r.Answer.Head) + string(r.Answer.Body) + r.Text; leaks(text) {
				t.Errorf("the answer holds the value: %s", text)
			}
			if !strings.Contains(string(r.Answer.Body), "TOKEN") {
				t.Errorf("the answer lacks the placeholder: %s", r.Answer.Body)
			}
		})
	}
}

func TestSecretIsRefused(t *testing.T) {
	t.Parallel()
	e := newParrot(t)
	host := strings.TrimPrefix(e.URL, "http://")
	_, port, _ := strings.Cut(host, ":")
	key := [][]string{{"X-Key", placeholder}}
	for _, row := range []struct {
		name  string
		hosts []string
		made  flawless.Call
		want  string
	}{
		{"towards another host", []string{"api.example.com"}, call("", "url", e.URL, "headers", key), "must not be sent to http://" + host},
		{"without encryption", []string{host}, call("", "url", e.URL, "headers", key), "must not be sent"},
		{"towards another port", []string{"http://127.0.0.1"}, call("", "url", e.URL, "headers", key), "must not be sent"},
		{"under another name", []string{e.URL}, call("", "url", "http://localhost:"+port, "headers", key), "must not be sent"},
		{"in the query", []string{"api.example.com"}, call("", "url", e.URL+"/?k="+placeholder), "must not be sent"},
		{"in the body", []string{"api.example.com"}, call(placeholder, "method", "POST", "url", e.URL), "must not be sent"},
		{"that nobody has set", []string{e.URL}, call(strings.Replace(placeholder, "TOKEN", "OTHER", 1), "method", "POST", "url", e.URL), "flawless secret set OTHER --host http://" + host},
		{"that cannot be opened", []string{e.URL}, call(strings.Replace(placeholder, "TOKEN", "LOCKED", 1), "method", "POST", "url", e.URL), "its key is not at hand"},
		{"with a line break in a header", []string{e.URL}, call("", "url", e.URL, "headers", [][]string{{"X-Key", strings.Replace(placeholder, "TOKEN", "LINES", 1)}}), "control character"},
		{"behind another Host", []string{e.URL}, call("", "url", e.URL, "headers", append(key, []string{"Host", "evil.example"})), "evil.example"},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := send(t, vaultOf(t, row.hosts...), row.made)
			h := headOf(t, r)
			if r.Outcome != effect.NotSent || h.Error == nil || h.Error.Reason != "policy" || !strings.Contains(r.Text, row.want) || leaks(r.Text) {
				t.Errorf("it is %+v %+v, want %q", r, h.Error, row.want)
			}
		})
	}
	if len(e.seen) > 0 {
		t.Errorf("the server was sent %d requests", len(e.seen))
	}
}

func TestRedirectSendsNoSecretToAnotherHost(t *testing.T) {
	t.Parallel()
	e := newParrot(t)
	var to string
	first := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, to+"?key="+url.QueryEscape(r.Header.Get("X-Key")), http.StatusTemporaryRedirect)
	}))
	t.Cleanup(first.Close)
	to = e.URL
	r := send(t, vaultOf(t, first.URL), call("", "url", first.URL, "headers", [][]string{{"X-Key", placeholder}}))
	if len(e.seen) != 0 || !strings.Contains(r.Text, "must not be sent to "+e.URL) || leaks(r.Text+string(r.Answer.Head)) {
		t.Errorf("it is %+v, the other server saw %d", r, len(e.seen))
	}
	r = send(t, vaultOf(t, first.URL, e.URL), call("", "url", first.URL, "headers", [][]string{{"X-Key", placeholder}}))
	if len(e.seen) != 1 || e.seen[0].URL.Query().Get("key") != secretValue || leaks(string(r.Answer.Head)+string(r.Answer.Body)) {
		t.Errorf("it is %+v, the other server saw %v", r, e.seen)
	}
}

func TestErrorHasNoSecret(t *testing.T) {
	t.Parallel()
	addr := rawServer(t, func(c net.Conn) {
		_, _ = c.Read(make([]byte, 4096))
		_, _ = io.WriteString(c, secretValue+" is no HTTP\r\n\r\n")
	})
	r := send(t, vaultOf(t, "http://"+addr), call("", "url", "http://"+addr, "headers", [][]string{{"X-Key", placeholder}}))
	if r.Outcome != effect.Unknown || leaks(r.Text+string(r.Answer.Head)) {
		t.Errorf("it is %+v", r)
	}
}

// TestSecretInsideBase64IsHidden has a server that echoes user and password in base64, in bodies and headers. No part
// of the password may be visible, at any offset.
func TestSecretInsideBase64IsHidden(t *testing.T) {
	t.Parallel()
	for _, enc := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding, base64.RawStdEncoding, base64.RawURLEncoding} {
		for before := range 5 {
			for after := range 4 {
				text := enc.EncodeToString([]byte("user:"[5-before:] + secretValue + "\nend"[:after]))
				s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("X-Was", text)
					_, _ = io.WriteString(w, "was "+text+" and more")
				}))
				r := send(t, vaultOf(t, s.URL), call("", "url", s.URL))
				s.Close()
				got := string(r.Answer.Head) + string(r.Answer.Body)
				from, to := (before*8+5)/6, (before+len(secretValue))*8/6
				for i := from; i+4 <= to; i++ {
					if strings.Contains(got, text[i:i+4]) {
						t.Fatalf("%d bytes before and %d after it: %q shows %q of %q", before, after, got, text[i:i+4], text)
					}
				}
				if !strings.HasPrefix(string(r.Answer.Body), "was ") || !strings.HasSuffix(string(r.Answer.Body), " and more") {
					t.Errorf("the rest is gone: %q", r.Answer.Body)
				}
			}
		}
	}
}

// A response that is cut in the middle of a value must not contain the first part of it.
func TestCutResponseHasNoPartOfASecret(t *testing.T) {
	t.Parallel()
	quoted, _ := json.Marshal(secretValue)
	for _, row := range []struct{ name, text string }{
		{"plain", secretValue},
		{"JSON", strings.Trim(string(quoted), `"`)},
		{"JSON of PHP", strings.ReplaceAll(strings.Trim(string(quoted), `"`), "/", `\/`)},
		{"a query", url.QueryEscape(secretValue)},
		{"a path", url.PathEscape(secretValue)},
		{"base64", base64.StdEncoding.EncodeToString([]byte(secretValue))},
		{"base64 for URLs", base64.RawURLEncoding.EncodeToString([]byte(secretValue))},
		{"user and password", base64.StdEncoding.EncodeToString([]byte("ann:" + secretValue))},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "key="+row.text+" and more") }))
			t.Cleanup(s.Close)
			c := vaultOf(t, s.URL)
			for n := range len(row.text) + 5 {
				r := send(t, c, call("", "url", s.URL, "limit", 4+n, "longer", "cut",
					"headers", [][]string{{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte("ann:"+placeholder))}}))
				got := string(r.Answer.Body)
				if n < len(row.text) && got != "key=" || n >= len(row.text) && (leaks(got) || strings.HasSuffix(got, "key=")) {
					t.Errorf("cut after %d of %d bytes: %q", n, len(row.text), got)
				}
			}
		})
	}
}

func TestCutResponseHasNoPartOfOverlappingSecrets(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, text string
		want       map[int]string // by the number of bytes that are passed on
	}{
		{"one that ends as it begins", "x abcdefgab y", map[int]string{9: "x ", 10: "x ", 11: "x ", 12: "x <LOOP> ", 13: "x <LOOP> y"}},
		{"one within another", "x user:12345678-9 y", map[int]string{3: "x ", 15: "x ", 16: "x ", 17: "x <OUTER>"}},
		{"none", "x and nothing else", map[int]string{4: "x ", 6: "x and ", 18: "x and nothing else"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, row.text) }))
			t.Cleanup(s.Close)
			var all []flawless.OpenSecret
			for name, value := range map[string]string{"LOOP": "abcdefgab", "INNER": "12345678", "OUTER": "user:12345678-9", "WORD": "and-so-on"} {
				all = append(all, flawless.OpenSecret{Secret: flawless.Secret{Name: name, Hosts: []string{s.URL}}, Value: value})
			}
			c := secretClient(t, effect.ClientOptions{}, func() []flawless.OpenSecret { return all })
			for n, want := range row.want {
				r := send(t, c, call("", "url", s.URL, "limit", n, "longer", "cut"))
				got := string(r.Answer.Body)
				for _, secret := range all {
					got = strings.ReplaceAll(got, flawless.Placeholder(secret.Name, flawless.SecretToken(ownSeed)), "<"+secret.Name+">")
				}
				if got != want {
					t.Errorf("the first %d bytes: %q, want %q", n, got, want)
				}
			}
		})
	}
}

// The error of an HTTP/2 connection quotes the debug data of GOAWAY.
func TestGoAwayHasNoSecret(t *testing.T) {
	t.Parallel()
	const value = "ring the \a bell"
	addr, cfg := framed(t, func(f *http2.Framer) {
		_ = f.WriteSettings()
		for {
			frame, err := f.ReadFrame()
			if err != nil {
				return
			}
			if h, ok := frame.(*http2.HeadersFrame); ok {
				_ = f.WriteGoAway(h.StreamID, http2.ErrCodeEnhanceYourCalm, []byte("not with "+value))
				return
			}
		}
	})
	c := secretClient(t, effect.ClientOptions{TLS: cfg}, func() []flawless.OpenSecret {
		return []flawless.OpenSecret{{Secret: flawless.Secret{Name: "TOKEN", Hosts: []string{addr}}, Value: value}}
	})
	r := send(t, c, call("", "method", "POST", "url", "https://"+addr))
	if text := r.Text + string(r.Answer.Head); r.Outcome != effect.Unknown || !strings.Contains(text, "not with "+placeholder) || strings.Contains(text, "bell") {
		t.Errorf("it is %+v", r)
	}
}
