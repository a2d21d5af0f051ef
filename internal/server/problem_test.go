package server

import (
	"encoding/json"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/flawless-engine/flawless/internal/reply"
)

// TestDetailNamesInvalidParts: many clients show the detail of a problem and nothing else.
func TestDetailNamesInvalidParts(t *testing.T) {
	t.Parallel()
	h := Handler(t.Context(), newEngine(t), slog.New(slog.DiscardHandler))
	for _, row := range []struct{ body, want string }{
		{`{"module":"m"}`, "the request is invalid: body: the property workflow is missing"},
		{`{"modul":"m","workflow":"w"}`, "the request is invalid: body: the property module is missing; body.modul: unexpected property"},
		{`{"module":"m","workflow":"w","a":1,"b":1,"c":1,"d":1}`, "; and 1 more"},
		{`{"module":"m","workflow":"w","priority":"high"}`, "the request is invalid: body.priority: expected integer"},
		{`{bad`, "the request is invalid: body: invalid character 'b'"},
	} {
		r := httptest.NewRequest("POST", "/api/v1/runs", strings.NewReader(row.body))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		var p reply.Problem
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || !strings.Contains(p.Detail, row.want) || len(p.Errors) == 0 {
			t.Errorf("%s: %s, want %q in the detail", row.body, w.Body, row.want)
		}
	}
}
