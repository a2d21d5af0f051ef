package reply

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/flawless-engine/flawless"
)

// methods lists the methods that operations may have.
var methods = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}

// Mux carries out requests, and says which pattern matches one.
type Mux interface {
	http.Handler
	Handler(r *http.Request) (http.Handler, string)
}

// OrNotFound answers requests that match no operation with a problem. The mux would answer in plain text, or redirect
// the client to a path with another meaning.
func OrNotFound(m Mux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, part := range strings.Split(r.URL.EscapedPath(), "/")[1:] {
			if why := invalidSegment(part); why != "" && r.URL.Path != "/" {
				Write(w, r, New(http.StatusNotFound, flawless.NotFound, fmt.Sprintf("the path %.300q has %s in place of a name or an id%s", r.URL.Path, why, suggestion(r.URL.Path))))
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
			Write(w, r, New(http.StatusMethodNotAllowed, flawless.Invalid,
				fmt.Sprintf("the method %.20q is not allowed for %.300q; use %s, see /openapi.json", r.Method, r.URL.Path, strings.Join(allowed, ", "))))
			return
		}
		Write(w, r, New(http.StatusNotFound, flawless.NotFound, fmt.Sprintf("there is nothing at %.300q%s", r.URL.Path, suggestion(r.URL.Path))))
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
