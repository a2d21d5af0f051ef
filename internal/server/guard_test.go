package server

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go/http3"

	"github.com/flawless-engine/flawless/internal/listen"
)

// hostile lists requests that browsers send for web pages of other origins, and similar ones.
var hostile = []struct {
	name   string
	host   string // empty is the name of the server
	header map[string]string
	status int
}{
	{"another site", "", map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "http://evil.example"}, 403},
	{"another site, without an origin", "", map[string]string{"Sec-Fetch-Site": "cross-site"}, 403},
	{"another site, by an older browser", "", map[string]string{"Origin": "http://evil.example"}, 403},
	{"another site, as an image", "", map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}, 403},
	{"another site, as a link", "", map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}, 403},
	{"another port of this machine", "", map[string]string{"Sec-Fetch-Site": "same-site", "Origin": "http://localhost:3000"}, 403},
	{"another port of this machine, by an older browser", "", map[string]string{"Origin": "http://localhost:3000"}, 403},
	{"a page without an origin", "", map[string]string{"Origin": "null"}, 403},
	{"an origin that begins like ours", "", map[string]string{"Origin": "http://localhost:27288.evil.example"}, 403},
	{"another site, that says what it does not do", "", map[string]string{"Origin": "http://evil.example", "X-HTTP-Method-Override": "GET", "X-Forwarded-Host": "evil.example"}, 403},
	{"a rebound name", "evil.example:27288", nil, 421},
	{"a rebound name, which the browser takes for one origin", "evil.example:27288", map[string]string{"Sec-Fetch-Site": "same-origin", "Origin": "http://evil.example:27288"}, 421},
	{"a name that begins like loopback", "127.0.0.1.evil.example", nil, 421},
	{"a name that begins like localhost", "localhost.evil.example:27288", nil, 421},
	{"a name that ends like localhost", "notlocalhost:27288", nil, 421},
	{"a user before the name", "localhost@evil.example", nil, 421},
	{"an address of another machine", "192.0.2.1:27288", nil, 421},
	{"any address", "0.0.0.0:27288", nil, 421},
	{"a forwarded name", "evil.example", map[string]string{"X-Forwarded-Host": "localhost"}, 421},
	{"a number for an address", "2130706433:27288", nil, 421},
	{"no host", "\x00", nil, 421},
}

// routes returns the paths and methods of all patterns of the API, and some that match none.
func routes(t *testing.T) map[string][]string {
	t.Helper()
	var doc struct {
		Paths map[string]map[string]json.RawMessage `json:"paths"`
	}
	w := httptest.NewRecorder()
	h := &recorded{}
	_, api := newAPI(t.Context(), newEngine(t), slog.New(slog.DiscardHandler), h)
	api.ServeHTTP(w, httptest.NewRequest("GET", "/openapi.json", nil))
	if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil || len(doc.Paths) < 30 || len(h.patterns) < len(doc.Paths) {
		t.Fatalf("%d paths, %d patterns, %v", len(doc.Paths), len(h.patterns), err)
	}
	all := map[string][]string{"/nothing": {"GET", "POST"}, "*": {"OPTIONS"}}
	add := func(pattern, method string) {
		path := regexp.MustCompile(`{n}`).ReplaceAllString(pattern, "1")
		path = regexp.MustCompile(`{\w+}`).ReplaceAllString(path, "x")
		if !slices.Contains(all[path], method) {
			all[path] = append(all[path], method)
		}
	}
	for _, p := range h.patterns {
		method, path, _ := strings.Cut(p, " ")
		for _, m := range []string{method, "GET", "HEAD", "OPTIONS", "POST", "PUT"} {
			add(path, m)
		}
	}
	for path, methods := range doc.Paths {
		for m := range methods {
			if add(path, strings.ToUpper(m)); !slices.Contains(h.patterns, strings.ToUpper(m)+" "+path) {
				t.Errorf("%s %s is described, but not served", m, path)
			}
		}
	}
	return all
}

// recorded is a mux that records its patterns.
type recorded struct {
	http.ServeMux
	patterns []string
}

func (m *recorded) Handle(pattern string, h http.Handler) {
	m.patterns = append(m.patterns, pattern)
	m.ServeMux.Handle(pattern, h)
}

func (m *recorded) HandleFunc(pattern string, h func(http.ResponseWriter, *http.Request)) {
	m.Handle(pattern, http.HandlerFunc(h))
}

// TestHostileRequestsReachNoRoute sends each hostile request to each route, with the token of the server.
func TestHostileRequestsReachNoRoute(t *testing.T) {
	t.Parallel()
	reached := ""
	d, err := listen.Guard(nil, true, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { reached = r.Method + " " + r.URL.Path }))
	if err != nil {
		t.Fatal(err)
	}
	for path, methods := range routes(t) {
		for _, method := range methods {
			for _, row := range hostile {
				r := httptest.NewRequestWithContext(t.Context(), method, "/", unreadable{t})
				r.URL.Path, r.Host = path, "localhost:27288"
				if row.host != "" {
					r.Host = strings.Trim(row.host, "\x00")
				}
				r.Header.Set("Authorization", "Bearer "+theToken)
				for name, v := range row.header {
					r.Header.Set(name, v)
				}
				w := httptest.NewRecorder()
				if d.ServeHTTP(w, r); w.Code != row.status || reached != "" {
					t.Fatalf("%s %s from %s: status %d, reached %q", method, path, row.name, w.Code, reached)
				}
				for name := range w.Header() {
					if strings.HasPrefix(name, "Access-Control-") {
						t.Fatalf("%s %s from %s: %s", method, path, row.name, w.Header())
					}
				}
			}
			r := httptest.NewRequest(method, "/", nil)
			r.URL.Path, r.Host = path, "localhost:27288"
			if d.ServeHTTP(httptest.NewRecorder(), r); reached != method+" "+path {
				t.Fatalf("%s %s of a program was refused", method, path)
			}
			reached = ""
		}
	}
}

// unreadable is a body that must not be read.
type unreadable struct{ t *testing.T }

func (u unreadable) Read([]byte) (int, error) {
	u.t.Error("the body of a refused request was read")
	return 0, io.EOF
}

// listening returns a server with an engine on its own ports.
func listening(t *testing.T) *listen.Listener {
	t.Helper()
	l, err := listen.Listen(listen.Address{Socket: "127.0.0.1:0", Dir: t.TempDir(), Names: []string{"https://runs.example"}}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	l.Serve(handlerFor(ctx, t, newEngine(t), slog.New(slog.DiscardHandler)))
	t.Cleanup(func() { cancel(); _ = l.Close(context.Background()) })
	return l
}

// TestHostileRequestsOverEveryProtocol sends hostile requests to a listening server.
func TestHostileRequestsOverEveryProtocol(t *testing.T) {
	t.Parallel()
	l := listening(t)
	h2 := new(http.Protocols)
	h2.SetUnencryptedHTTP2(true)
	h3 := &http3.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer h3.Close()
	for _, p := range []struct {
		name, base string
		transport  http.RoundTripper
	}{{"HTTP/1.1", "http://" + l.TCP(), &http.Transport{}}, {"HTTP/2", "http://" + l.TCP(), &http.Transport{Protocols: h2}}, {"HTTP/3", "https://" + l.UDP(), h3}} {
		c := &http.Client{Transport: p.transport}
		ask := func(host string, header map[string]string) int {
			t.Helper()
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.base+"/api/v1/secret-keys", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Host = host
			for name, v := range header {
				r.Header.Set(name, v)
			}
			resp, err := c.Do(r)
			if err != nil {
				t.Fatalf("%s: %v", p.name, err)
			}
			_ = resp.Body.Close()
			return resp.StatusCode
		}
		for _, row := range hostile {
			if row.host == "\x00" || strings.Contains(row.host, "@") { // clients do not send these
				continue
			}
			if status := ask(row.host, row.header); status != row.status {
				t.Errorf("%s over %s: status %d", row.name, p.name, status)
			}
		}
		for _, host := range []string{"", "localhost", "runs.example"} {
			if status := ask(host, nil); status == 403 || status == 421 {
				t.Errorf("a program that uses host %q over %s: status %d", host, p.name, status)
			}
		}
		if status := ask("runs.example", map[string]string{"Origin": "https://runs.example", "Sec-Fetch-Site": "same-origin"}); status == 403 || status == 421 {
			t.Errorf("a page of the server over %s: status %d", p.name, status)
		}
	}
}

// TestHandWrittenRequests sends requests that no client library produces.
func TestHandWrittenRequests(t *testing.T) {
	t.Parallel()
	l := listening(t)
	for _, row := range []struct {
		name, text string
		status     int
	}{
		{"an absolute target goes before the host", "GET http://evil.example/api/v1/runs HTTP/1.1\r\nHost: localhost\r\n\r\n", 421},
		{"an absolute target of its own", "GET http://localhost/api/v1/runs HTTP/1.1\r\nHost: localhost\r\n\r\n", 200},
		{"two hosts", "GET /api/v1/runs HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n", 400},
		{"no host", "GET /api/v1/runs HTTP/1.1\r\n\r\n", 400},
		{"no host, as old programs do it", "GET /api/v1/runs HTTP/1.0\r\n\r\n", 421},
		{"a user", "GET /api/v1/runs HTTP/1.1\r\nHost: localhost@evil.example\r\n\r\n", 400},
		{"a tunnel", "CONNECT evil.example:80 HTTP/1.1\r\nHost: evil.example:80\r\n\r\n", 421},
	} {
		conn, err := net.Dial("tcp", l.TCP())
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
		_, _ = io.WriteString(conn, row.text)
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || resp.StatusCode != row.status {
			t.Errorf("%s: %+v %v", row.name, resp, err)
		}
		_ = conn.Close()
	}
}

// TestBodyNeedsContentType sends each operation with a body one without a type, and one with each type that a form can
// have.
func TestBodyNeedsContentType(t *testing.T) {
	t.Parallel()
	h := &recorded{}
	_, api := newAPI(t.Context(), newEngine(t), slog.New(slog.DiscardHandler), h)
	w := httptest.NewRecorder()
	api.ServeHTTP(w, httptest.NewRequest("GET", "/openapi.json", nil))
	var doc struct {
		Paths map[string]map[string]struct {
			RequestBody *struct{ Content map[string]any } `json:"requestBody"`
		} `json:"paths"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	takes := map[string][]string{"POST /api/workflow/start": {"application/json"}, "POST /api/workflow/send-msg/{id}": {"application/json"},
		"POST /workflow/start/{module}/{workflow}": {"application/json"}, "POST /api/module/deploy": nil}
	for path, methods := range doc.Paths {
		for method, op := range methods {
			if op.RequestBody == nil {
				continue
			}
			pattern := strings.ToUpper(method) + " " + path
			for kind := range op.RequestBody.Content {
				takes[pattern] = append(takes[pattern], kind)
			}
			if len(takes[pattern]) == 0 {
				t.Errorf("%s does not describe the type of its body", pattern)
			}
		}
	}
	if len(takes) < 20 {
		t.Fatalf("only %d operations have a body", len(takes))
	}
	for pattern, kinds := range takes {
		method, path, _ := strings.Cut(pattern, " ")
		ask := func(kind string, chunked bool) int {
			ctx, gone := context.WithCancel(t.Context())
			gone() // so that accepted requests end early
			r := httptest.NewRequestWithContext(ctx, method, strings.NewReplacer("{n}", "1", "{", "", "}", "").Replace(path), strings.NewReader("{}"))
			if chunked {
				r.ContentLength = -1
			}
			if kind != "" {
				r.Header.Set("Content-Type", kind)
			}
			w := httptest.NewRecorder()
			api.ServeHTTP(w, r)
			return w.Code
		}
		want := http.StatusUnsupportedMediaType
		if kinds == nil {
			want = http.StatusBadRequest // a form is accepted
		}
		for _, kind := range []string{"", "text/plain", "text/plain;charset=UTF-8", "application/x-www-form-urlencoded", "multipart/form-data", "a/b, application/json", "application/jsonp"} {
			for _, chunked := range []bool{false, true} {
				if status := ask(kind, chunked); status != want {
					t.Errorf("%s with the type %q: status %d", pattern, kind, status)
				}
			}
		}
		for _, known := range kinds {
			for _, kind := range []string{known, strings.ToUpper(known), known + " ; Charset=utf-8"} { // RFC 9110, section 8.3.1
				if status := ask(kind, false); status == http.StatusUnsupportedMediaType {
					t.Errorf("%s with the type %q: status %d", pattern, kind, status)
				}
			}
		}
	}
}
