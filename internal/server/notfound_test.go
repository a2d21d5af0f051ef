package server

import (
	"encoding/json"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/reply"
)

// TestUnknownPathsAreProblems that say what to do, for every path and method.
func TestUnknownPathsAreProblems(t *testing.T) {
	t.Parallel()
	h := handlerFor(t.Context(), t, newEngine(t), slog.New(slog.DiscardHandler))
	for _, row := range []struct {
		method, path string
		status       int
		says         string
	}{
		{"GET", "/nothing", 404, "there is nothing at \"/nothing\"; the API is at /api/v1, and /openapi.json describes it"},
		{"GET", "/workflows/", 404, "did you mean /api/v1/runs?"},
		{"GET", "/api/v1/workflows", 404, "did you mean /api/v1/runs?"},
		{"GET", "/Modules", 404, "did you mean /api/v1/modules?"},
		{"GET", "/healthz", 404, "did you mean /api/v1/health?"},
		{"GET", "/api/v1/runs/", 404, "has nothing in place of a name or an id"},
		{"GET", "/api/v1/runs//log", 404, "has nothing in place of a name or an id"},
		{"POST", "/api/v1/runs//cancel", 404, "has nothing in place of a name or an id"},
		{"DELETE", "/api/v1/runs/../modules/x", 404, "has .. in place of a name or an id"},
		{"GET", "//", 404, "has nothing in place"},
		{"GET", "/api/v1/runs/x/cancel", 405, "use POST"},
		{"DELETE", "/api/v1/runs/x", 405, "use GET, HEAD"},
		{"PATCH", "/", 405, "use GET, HEAD"},
		{"TRACE", "/api/v1/runs", 405, "use GET, HEAD, POST"},
		{"OPTIONS", "/api/v1/modules/x", 405, "use GET, HEAD, PUT, DELETE"},
		{"BREW", "/api/v1/version", 405, "use GET, HEAD"},
		{"GET", "/metrics/", 404, "/metrics"},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(row.method, row.path, nil))
		var p reply.Problem
		err := json.Unmarshal(w.Body.Bytes(), &p)
		if err != nil || w.Code != row.status || p.Status != row.status || !strings.Contains(p.Detail, row.says) || w.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s %s: %d %s %v", row.method, row.path, w.Code, w.Body, err)
		}
		if allow := w.Header().Get("Allow"); (row.status == 405) != (allow != "") || !strings.Contains(p.Detail, allow) {
			t.Errorf("%s %s: Allow is %q", row.method, row.path, allow)
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/api/module/nothing", nil))
	if w.Code != 404 || !strings.HasPrefix(w.Body.String(), `{"error":"`) {
		t.Errorf("a path of flawless.dev's API: %d %s", w.Code, w.Body)
	}
}

// TestRootDescribesServer without a token. Pages for browsers are tested with the console.
func TestRootDescribesServer(t *testing.T) {
	t.Parallel()
	h := Require(theToken, handlerFor(t.Context(), t, newEngine(t), slog.New(slog.DiscardHandler)))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	if w.Code != 200 || w.Header().Get("Content-Type") != "application/json" || w.Header().Get("Vary") != "Accept" {
		t.Errorf("%d %s", w.Code, w.Header())
	}
	for _, want := range []string{flawless.Version, "/openapi.json", "/api/v1/health", "docs/README.md"} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("the answer lacks %s: %s", want, w.Body)
		}
	}
}
