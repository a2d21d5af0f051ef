package server

import (
	"encoding/json"
	"log/slog"
	"net/http/httptest"
	"testing"
)

// TestParametersAreNotGuessed: a parameter that is misspelt, doubled or empty is refused, not left out.
func TestParametersAreNotGuessed(t *testing.T) {
	t.Parallel()
	h := Handler(t.Context(), newEngine(t), slog.New(slog.DiscardHandler))
	for _, row := range []struct {
		method, path, at string
	}{
		{"GET", "/api/v1/runs?limit=5&limit=6", "query.limit"},
		{"GET", "/api/v1/runs?limit=", "query.limit"},
		{"GET", "/api/v1/runs?since=", "query.since"},
		{"GET", "/api/v1/runs?statuses=failed", "query.statuses"},
		{"GET", "/api/v1/runs?status=done", "query.status[0]"},
		{"GET", "/api/v1/runs/x/log?from=9223372036854775808", "query.from"},
		{"POST", "/api/v1/modules/x/upgrade?dryrun=true", "query.dryrun"},
		{"POST", "/api/v1/modules/x/upgrade?dry_run=", "query.dry_run"},
		{"POST", "/api/v1/modules/x/upgrade?dry_run=true&dry_run=false", "query.dry_run"},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(row.method, row.path, nil))
		var p Problem
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != 422 || len(p.Errors) != 1 || p.Errors[0].Location != row.at {
			t.Errorf("%s %s: %d %s %v", row.method, row.path, w.Code, w.Body, err)
		}
	}
}
