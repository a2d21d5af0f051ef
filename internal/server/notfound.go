package server

import (
	"fmt"
	"html"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/reply"
)

// guide is the URL of the documentation.
const guide = "https://github.com/flawless-engine/flawless/blob/main/docs/README.md"

// methods lists the methods that operations may have.
var methods = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}

// orNotFound answers requests that match no operation with a problem. The mux would answer in plain text, or redirect
// the client to a path with another meaning.
func orNotFound(m mux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, part := range strings.Split(r.URL.EscapedPath(), "/")[1:] {
			if why := invalidSegment(part); why != "" && r.URL.Path != "/" {
				reply.Write(w, r, reply.New(http.StatusNotFound, flawless.NotFound, fmt.Sprintf("the path %.300q has %s in place of a name or an id%s", r.URL.Path, why, suggestion(r.URL.Path))))
				return
			}
		}
		if _, pattern := m.Handler(r); pattern != "" {
			m.ServeHTTP(w, r)
			return
		}
		var allowed []string
		for _, method := range methods {
			if _, pattern := m.Handler(&http.Request{Method: method, URL: r.URL, Host: r.Host}); pattern != "" {
				allowed = append(allowed, method)
			}
		}
		if allowed != nil {
			w.Header().Set("Allow", strings.Join(allowed, ", "))
			reply.Write(w, r, reply.New(http.StatusMethodNotAllowed, flawless.Invalid,
				fmt.Sprintf("the method %.20q is not allowed for %.300q; use %s, see /openapi.json", r.Method, r.URL.Path, strings.Join(allowed, ", "))))
			return
		}
		reply.Write(w, r, reply.New(http.StatusNotFound, flawless.NotFound, fmt.Sprintf("there is nothing at %.300q%s", r.URL.Path, suggestion(r.URL.Path))))
	})
}

// invalidSegment returns what a segment of a path is instead of a name or an id, or "" if it can be one.
func invalidSegment(part string) string {
	switch part {
	case "":
		return "nothing"
	case ".", "..":
		return part
	}
	return ""
}

// collections maps words that people try in paths to the paths they probably want.
var collections = []struct{ words, at string }{
	{"workflow workflows run runs", "/api/v1/runs"},
	{"module modules", "/api/v1/modules"},
	{"schedule schedules", "/api/v1/schedules"},
	{"promise promises", "/api/v1/promises/{token}"},
	{"secret secrets", "/api/v1/secrets"},
	{"limit limits", "/api/v1/limits"},
	{"state states", "/api/v1/states"},
	{"event events", "/api/v1/events"},
	{"health healthz ready live status", "/api/v1/health"},
	{"metric", "/metrics"},
	{"openapi swagger docs doc", "/openapi.json"},
}

// suggestion suggests where to go from a path that does not exist.
func suggestion(path string) string {
	to := "; the API is at /api/v1, and /openapi.json describes it"
	for _, part := range strings.Split(strings.ToLower(path), "/") {
		for _, c := range collections {
			if part != "" && slices.Contains(strings.Fields(c.words), part) {
				return fmt.Sprintf("; did you mean %s? /openapi.json describes the API", c.at)
			}
		}
	}
	return to
}

// welcome answers GET / with a description of the server and links, as HTML or JSON.
func welcome(w http.ResponseWriter, r *http.Request) {
	type links struct {
		API     string `json:"api"`
		OpenAPI string `json:"openapi"`
		Health  string `json:"health"`
		Metrics string `json:"metrics"`
		Docs    string `json:"docs"`
	}
	about := struct {
		Name    string `json:"name"`
		About   string `json:"about"`
		Version string `json:"version"`
		Links   links  `json:"links"`
	}{"flawless", "Flawless server: durable execution of code that survives crashes and restarts.", flawless.Version,
		links{"/api/v1", "/openapi.json", "/api/v1/health", "/metrics", guide}}
	w.Header().Set("Vary", "Accept")
	if !strings.Contains(r.Header.Get("Accept"), "text/html") {
		w.Header().Set("Content-Type", "application/json")
		_ = reply.WriteJSON(w, about)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'")
	_, _ = fmt.Fprintf(w, "<!doctype html>\n<html lang=\"en\"><title>Flawless</title>\n<h1>Flawless %s</h1>\n<p>%s</p>\n<ul>\n", html.EscapeString(about.Version), html.EscapeString(about.About))
	for _, l := range []struct{ to, text string }{
		{about.Links.Docs, "Documentation"},
		{about.Links.OpenAPI, "API description (OpenAPI)"},
		{about.Links.Health, "Health"},
		{about.Links.Metrics, "Metrics (Prometheus)"},
	} {
		_, _ = fmt.Fprintf(w, "<li><a href=%q>%s</a>\n", l.to, l.text)
	}
	_, _ = io.WriteString(w, "</ul>\n</html>\n")
}
