// Package web serves the console: the pages that people see in a browser.
//
// It uses only the public API: every page asks the handler of the API in the same process, with the token of the visitor,
// so the console can do what a script can do and nothing else. Pages are rendered on the server and work without
// JavaScript, except for the timeline and the log of a run. One script bundle, made by tools/console, adds what moves.
//
// Nothing that a run, a label or an error contains is ever interpreted: templates escape it, and a strict
// Content-Security-Policy forbids inline scripts and styles.
package web

//go:generate go run -C ../../tools/console . -dir ../../internal/web

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
	"github.com/flawless-engine/flawless/internal/web/admin"
	"github.com/flawless-engine/flawless/internal/web/session"
)

// Options configures the console.
type Options struct {
	Token string       // of the API; "" means that the console needs no login either
	API   http.Handler // which checks the token
	Log   *slog.Logger
}

// console serves the pages.
type console struct {
	Options
	keys   *session.Keys // nil without a token
	pages  *http.ServeMux
	assets map[string]*asset
	now    func() time.Time
	parsed sync.Map // pools of *page by name
}

// Handler returns a handler for the API and the console. What programs ask for goes to the API: paths of the API always, and
// all other requests that do not ask for HTML. A request with the cookie of a login has the rights of the token.
func Handler(o Options) http.Handler {
	c := &console{Options: o, pages: http.NewServeMux(), assets: loadAssets(), now: time.Now}
	if o.Token != "" {
		c.keys = session.New(o.Token)
	}
	c.listRoutes()
	c.pages.HandleFunc("GET /runs/{id}", c.page(c.run))
	c.pages.HandleFunc("POST /runs/{id}/{verb}", c.page(c.act))
	for _, r := range admin.Routes() {
		c.pages.HandleFunc(r.Pattern, c.page(func(v *visit) error { return r.Serve(v.admin()) }))
	}
	c.forkRoutes()
	c.actionRoutes()
	c.bundleRoutes()
	c.pages.HandleFunc("GET /login", c.login)
	c.pages.HandleFunc("POST /login", c.login)
	c.pages.HandleFunc("POST /logout", c.logout)
	c.pages.HandleFunc("GET /static/{name}", c.static)
	c.pages.HandleFunc("/", c.page(func(*visit) error { return errNoPage }))
	return c
}

// forPrograms has the paths that belong to the API, whatever a request accepts.
var forPrograms = []string{"/api/", "/workflow/", "/metrics", "/livez", "/readyz", "/openapi"}

func (c *console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if cookie, err := r.Cookie(cookieName); err == nil && c.keys != nil && r.Header.Get("Authorization") == "" && c.keys.Valid(cookie.Value, c.now()) {
		r = r.Clone(r.Context())
		r.Header.Set("Authorization", "Bearer "+c.Token)
	}
	if !isPage(r) {
		c.API.ServeHTTP(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin") // another site that opens a page cannot watch its window
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	h.Set("Vary", "Accept, Cookie")
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	c.pages.ServeHTTP(w, r)
}

// maxForm is the size of the largest form, in bytes.
const maxForm = 1 << 20

// policy is the Content-Security-Policy of all pages.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; font-src 'self'; " +
	"form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

// Linkable reports whether other sites may link to what a request is for: to a page, which shows something and changes
// nothing. Everything else is only for programs and for the console itself.
func (c *console) Linkable(r *http.Request) bool {
	return r.Method == http.MethodGet && isPage(r) && !strings.HasPrefix(r.URL.Path, "/static/")
}

// isPage reports whether a request is for a page, and not for the API.
func isPage(r *http.Request) bool {
	for _, prefix := range forPrograms {
		if strings.HasPrefix(r.URL.Path, prefix) {
			return false
		}
	}
	if strings.HasPrefix(r.URL.Path, "/static/") || r.URL.Path == "/login" || r.URL.Path == "/logout" {
		return true
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		return strings.Contains(r.Header.Get("Accept"), "text/html")
	case http.MethodPost:
		return strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded")
	}
	return false
}

// visit is one request for a page.
type visit struct {
	*console
	w      http.ResponseWriter
	r      *http.Request
	client *client.Client
	base   string          // path below which a proxy serves the console, or ""
	counts *flawless.Stats // once a page has asked for them
}

// errNoPage is the error for a path without a page.
var errNoPage = fmt.Errorf("there is no such page: %w", flawless.NotFound)

// page returns a handler that shows the error of f as a page.
func (c *console) page(f func(v *visit) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		cl, err := client.New(client.Options{Socket: "localhost:1", Transport: inProcess{c.API}, Token: token, Patience: -1})
		if err != nil {
			c.Log.Error("the console has no client", "error", err)
			http.Error(w, "internal error", http.StatusInternalServerError)
			return
		}
		defer cl.Close()
		v := &visit{console: c, w: w, r: r, client: cl, base: basePath(r)}
		if err := readForm(r); err != nil {
			v.fail(err)
			return
		}
		if err := f(v); err != nil {
			v.fail(err)
		}
	}
}

// readForm reads the form of a request, once for all pages: a part of a form must not be taken for the whole.
func readForm(r *http.Request) error {
	err := r.ParseForm()
	large := (*http.MaxBytesError)(nil)
	switch {
	case errors.As(err, &large):
		return fmt.Errorf("a form can have at most %d MiB, and nothing was done; go back to change it, or use the command, which reads files: %w", maxForm>>20, flawless.TooLarge)
	case err != nil && r.Method == http.MethodPost:
		return fmt.Errorf("reading the form: %v: %w", err, flawless.Invalid)
	}
	return nil
}

// validBase matches paths that a proxy may serve the console at.
var validBase = regexp.MustCompile(`^(/[A-Za-z0-9._~-]+){1,8}$`)

// basePath returns the path below which a proxy serves the console. It only changes links, and only those of the visitor who
// sent the header.
func basePath(r *http.Request) string {
	if p := strings.TrimSuffix(r.Header.Get("X-Forwarded-Prefix"), "/"); validBase.MatchString(p) {
		return p
	}
	return ""
}

// fail shows an error. What the API refuses for want of a token leads to the login.
func (v *visit) fail(err error) {
	if v.r.Context().Err() != nil {
		return // nobody reads it
	}
	status, refused := http.StatusInternalServerError, (*client.Refusal)(nil)
	switch {
	case errors.As(err, &refused):
		status = refused.Status
	case errors.Is(err, flawless.NotFound):
		status = http.StatusNotFound
	case errors.Is(err, flawless.Invalid):
		status = http.StatusBadRequest
	case errors.Is(err, flawless.TooLarge):
		status = http.StatusRequestEntityTooLarge
	}
	if status == http.StatusUnauthorized {
		v.showLogin(status, "")
		return
	}
	titles := map[int]string{http.StatusNotFound: "Not found", http.StatusServiceUnavailable: "The server does not accept requests at the moment",
		http.StatusConflict: "Somebody was faster", http.StatusRequestEntityTooLarge: "The form is too large", http.StatusBadRequest: "The request is not valid", http.StatusUnprocessableEntity: "The request is not valid"}
	title := titles[status]
	if title == "" {
		title = "That did not work"
	}
	if status == http.StatusServiceUnavailable {
		v.w.Header().Set("Retry-After", "5")
	}
	v.show(status, "error.html", &view{Title: title, Data: map[string]any{"Status": status, "Text": reason(err), "Retry": status == http.StatusServiceUnavailable}})
}

// reason returns an error as a sentence, without its code.
func reason(err error) string {
	return sentence(strings.TrimSuffix(err.Error(), ": "+string(flawless.CodeOf(err))))
}

// inProcess is a transport that calls a handler in the same process. Answers are held in memory, except for streams of events.
type inProcess struct{ to http.Handler }

// RoundTrip implements http.RoundTripper.
func (t inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	in := r.Clone(r.Context())
	in.RequestURI, in.RemoteAddr = r.URL.RequestURI(), "console"
	if in.Body == nil {
		in.Body = http.NoBody
	}
	if strings.Contains(r.Header.Get("Accept"), "text/event-stream") {
		return stream(t.to, in)
	}
	w := &recorder{header: http.Header{}, status: http.StatusOK}
	t.to.ServeHTTP(w, in)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: w.status, Status: http.StatusText(w.status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.header, Body: io.NopCloser(&w.body), ContentLength: int64(w.body.Len()), Request: r}, nil
}

// recorder is a response in memory.
type recorder struct {
	header http.Header
	status int
	wrote  bool
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (w *recorder) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *recorder) WriteHeader(status int) {
	if !w.wrote && status >= 200 {
		w.status, w.wrote = status, true
	}
}

// Write implements http.ResponseWriter.
func (w *recorder) Write(b []byte) (int, error) {
	w.wrote = true
	return w.body.Write(b)
}

// ctx returns the context of the request.
func (v *visit) ctx() context.Context { return v.r.Context() }

// admin returns the request for the pages of package admin.
func (v *visit) admin() *admin.Visit {
	return &admin.Visit{W: v.w, R: v.r, Client: v.client, Base: v.base, Login: v.keys != nil, Who: who, Now: v.now,
		Show: func(status int, name string, p admin.Page) {
			v.show(status, name, &view{Title: p.Title, Here: p.Here, Data: p.Data})
		},
		Render: func(name string, p admin.Page) ([]byte, error) {
			return v.render(name, &view{Title: p.Title, Here: p.Here, Data: p.Data})
		}}
}
