package server

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
	"github.com/flawless-engine/flawless/internal/listen"
)

const theToken = "0123456789abcdef"

// TestTokenIsRequiredEverywhere calls all operations that the server describes, and other paths.
func TestTokenIsRequiredEverywhere(t *testing.T) {
	t.Parallel()
	api := handlerFor(t.Context(), t, newEngine(t), slog.New(slog.DiscardHandler))
	ask := func(h http.Handler, method, path, auth string) *httptest.ResponseRecorder {
		ctx, gone := context.WithCancel(t.Context())
		gone() // so that streams end
		r := httptest.NewRequestWithContext(ctx, method, path, strings.NewReader("{}"))
		if auth != "" {
			r.Header.Set("Authorization", auth)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	var doc struct {
		Paths map[string]map[string]json.RawMessage `json:"paths"`
	}
	if err := json.Unmarshal(ask(api, "GET", "/openapi.json", "").Body.Bytes(), &doc); err != nil || len(doc.Paths) < 30 {
		t.Fatalf("%d paths, %v", len(doc.Paths), err)
	}
	doc.Paths["/api/workflow/start"] = map[string]json.RawMessage{"post": nil}
	doc.Paths["/api/workflow/send-msg/{id}"] = map[string]json.RawMessage{"post": nil}
	doc.Paths["/api/module/deploy"] = map[string]json.RawMessage{"post": nil}
	doc.Paths["/workflow/start/{module}/{workflow}"] = map[string]json.RawMessage{"post": nil}
	for _, path := range []string{"/workflow/{id}", "/version", "/metrics", "/openapi.json", "/livez", "/readyz", "/nothing", "/api/v1/promises/a%2Fb/other"} {
		doc.Paths[path] = map[string]json.RawMessage{"get": nil}
	}
	asks := Require(theToken, api)
	free := map[string]bool{"get /api/v1/health": true, "get /livez": true, "get /readyz": true, "post /api/v1/promises/{token}": true, "post /api/v1/promises/{token}/reject": true}
	for pattern, methods := range doc.Paths {
		path := regexp.MustCompile(`{n}`).ReplaceAllString(pattern, "1")
		path = regexp.MustCompile(`{\w+}`).ReplaceAllString(path, "x")
		for method := range methods {
			for _, auth := range []string{"", "Bearer", "Bearer 0123456789abcdeg", "Bearer 0123456789abcdef0", "Basic " + theToken, theToken} {
				w := ask(asks, strings.ToUpper(method), path, auth)
				if open := w.Code != http.StatusUnauthorized; open != free[method+" "+pattern] {
					t.Errorf("%s %s with %q: status %d", method, path, auth, w.Code)
				}
			}
			if w := ask(asks, strings.ToUpper(method), path, "bearer "+theToken); w.Code == http.StatusUnauthorized {
				t.Errorf("%s %s with its token: %s", method, path, w.Body)
			}
			if w := ask(Require("", api), strings.ToUpper(method), path, ""); w.Code == http.StatusUnauthorized {
				t.Errorf("%s %s of a server without a token: %s", method, path, w.Body)
			}
		}
	}
}

// TestMissingTokenIsExplained in the form of each API.
func TestMissingTokenIsExplained(t *testing.T) {
	t.Parallel()
	h := Require(theToken, handlerFor(t.Context(), t, newEngine(t), slog.New(slog.DiscardHandler)))
	for _, row := range []struct{ method, path, kind, want string }{
		{"GET", "/api/v1/runs", "application/problem+json", `^{"type":"about:blank","title":"Unauthorized","status":401,"detail":"this server requires.*FLAWLESS_TOKEN.*","code":"denied"}\n$`},
		{"POST", "/api/module/deploy", "application/json", `^{"error":"this server requires.*FLAWLESS_TOKEN.*"}\n$`},
		{"GET", "/workflow/x", "application/json", `^{"error":"this server requires`},
	} {
		unread := &countingBody{}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(row.method, row.path, unread))
		if w.Code != 401 || w.Header().Get("Content-Type") != row.kind || !regexp.MustCompile(row.want).MatchString(w.Body.String()) {
			t.Errorf("%s: status %d, %s, %s", row.path, w.Code, w.Header(), w.Body)
		}
		if !strings.HasPrefix(w.Header().Get("WWW-Authenticate"), "Bearer ") || unread.n > 0 {
			t.Errorf("%s: %s; %d bytes were read", row.path, w.Header(), unread.n)
		}
	}
}

type countingBody struct{ n int }

func (c *countingBody) Read(b []byte) (int, error) {
	c.n += len(b)
	return 0, io.EOF
}

// TestClientSendsToken over each protocol.
func TestClientSendsToken(t *testing.T) {
	t.Parallel()
	l, err := listen.Listen(listen.Address{Socket: "127.0.0.1:0", Dir: t.TempDir()}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if !l.Local() {
		t.Error("it is not local")
	}
	l.Serve(Require(theToken, handlerFor(t.Context(), t, newEngine(t), slog.New(slog.DiscardHandler))))
	t.Cleanup(func() { _ = l.Close(context.Background()) })
	for _, row := range []struct {
		name, token, protocol string
		tcp                   bool
		want                  error
	}{
		{"its token over HTTP/3", theToken, "HTTP/3", false, nil},
		{"its token over TCP", theToken, "HTTP", true, nil},
		{"another over HTTP/3", theToken + "0", "HTTP/3", false, flawless.Denied},
		{"none over HTTP/3", "", "HTTP/3", false, flawless.Denied},
		{"none over TCP", "", "HTTP", true, flawless.Denied},
	} {
		t.Run(row.name, func(t *testing.T) {
			o := client.Options{Socket: l.UDP(), NoQUIC: row.tcp, Token: row.token}
			if row.tcp {
				o.Socket = l.TCP()
			}
			c, err := client.New(o)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := c.Modules(t.Context()); !errors.Is(err, row.want) {
				t.Errorf("modules: %v", err)
			}
			if _, err := c.Version(t.Context()); !errors.Is(err, row.want) {
				t.Errorf("the version: %v", err)
			}
			if h, err := c.Health(t.Context()); err != nil || h.State != "ok" || c.Protocol(t.Context()) != row.protocol {
				t.Errorf("%+v over %s, %v", h, c.Protocol(t.Context()), err)
			}
			if _, err := c.Settle(t.Context(), "x", nil); !errors.Is(err, flawless.NotFound) {
				t.Errorf("settling: %v", err)
			}
		})
	}
}

// TestTokenIsNotSentUnencrypted to another machine over TCP if HTTP/3 does not answer, unless the caller asks for it.
func TestTokenIsNotSentUnencrypted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // nothing is sent anywhere
	for _, row := range []struct {
		name string
		o    client.Options
		want string
	}{
		{"HTTP/3 alone", client.Options{Socket: "192.0.2.1:27288", Token: theToken}, "not sent over unencrypted TCP"},
		{"TCP, as asked for", client.Options{Socket: "192.0.2.1:27288", Token: theToken, NoQUIC: true}, "context canceled"},
		{"no token", client.Options{Socket: "192.0.2.1:27288"}, "context canceled"},
		{"this machine", client.Options{Socket: "127.0.0.1:1", Token: theToken}, "context canceled"},
	} {
		c, err := client.New(row.o)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Modules(ctx); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v", row.name, err)
		}
		_ = c.Close()
	}
}
