package server

import (
	"fmt"
	"html"
	"io"
	"net/http"
	"strings"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/reply"
)

// guide is the URL of the documentation.
const guide = "https://github.com/flawless-engine/flawless/blob/main/docs/README.md"

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
