package server

import (
	"encoding/json"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/flawless-engine/flawless/internal/reply"
)

// TestInvalidParametersAreRejected, not ignored: misspelt, repeated and empty ones.
func TestInvalidParametersAreRejected(t *testing.T) {
	t.Parallel()
	h := handlerFor(t.Context(), t, newEngine(t), slog.New(slog.DiscardHandler))
	for _, row := range []struct {
		method, path, at string
		status           int
	}{
		{"GET", "/api/v1/runs?limit=5&limit=6", "query.limit", 422},
		{"GET", "/api/v1/runs?limit=", "query.limit", 400},
		{"GET", "/api/v1/runs?since=", "query.since", 400},
		{"GET", "/api/v1/runs?since=yesterday", "query.since", 422},
		{"GET", "/api/v1/runs?status=", "query.status", 400},
		{"GET", "/api/v1/runs?status=running&status=failed", "query.status", 422},
		{"GET", "/api/v1/runs?status=running,", "query.status[1]", 422},
		{"GET", "/api/v1/runs?label=", "query.label", 400},
		{"GET", "/api/v1/runs?label=a=b&label=", "query.label", 400},
		{"GET", "/api/v1/runs?statuses=failed", "query.statuses", 422},
		{"GET", "/api/v1/runs?status=done", "query.status[0]", 422},
		{"GET", "/api/v1/runs/x/log?from=9223372036854775808", "query.from", 422},
		{"POST", "/api/v1/modules/x/upgrade?dryrun=true", "query.dryrun", 422},
		{"POST", "/api/v1/modules/x/upgrade?dry_run=", "query.dry_run", 400},
		{"POST", "/api/v1/modules/x/upgrade?dry_run=true&dry_run=false", "query.dry_run", 422},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(row.method, row.path, nil))
		var p reply.Problem
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != row.status || len(p.Errors) != 1 || p.Errors[0].Location != row.at {
			t.Errorf("%s %s: %d %s %v", row.method, row.path, w.Code, w.Body, err)
		}
		if strings.Contains(w.Body.String(), "2006-01-02") {
			t.Errorf("%s %s shows a layout of Go's package time: %s", row.method, row.path, w.Body)
		}
	}
}
