package server

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/bundle"
	"github.com/flawless-engine/flawless/internal/reply"
)

// TestDamagedBundleIsInvalidInput, unlike damage of the store, which is an error of the server.
func TestDamagedBundleIsInvalidInput(t *testing.T) {
	t.Parallel()
	var file bytes.Buffer
	if err := bundle.Write(&file, bundle.Bundle{}); err != nil {
		t.Fatal(err)
	}
	changed := bytes.Clone(file.Bytes())
	changed[len(changed)-1] ^= 1
	h := handlerFor(t.Context(), t, newEngine(t), slog.New(slog.DiscardHandler))
	for _, row := range []struct {
		name, why string
		file      []byte
	}{
		{"cut short", "it is truncated", file.Bytes()[:file.Len()-1]},
		{"changed", "its checksum is wrong", changed},
		{"without a start", "start", file.Bytes()},
	} {
		r := httptest.NewRequestWithContext(t.Context(), "POST", "/api/v1/bundles", bytes.NewReader(row.file))
		r.Header.Set("Content-Type", "application/octet-stream")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		var p reply.Problem
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != 400 || p.Code != flawless.Invalid || !strings.Contains(p.Detail, row.why) {
			t.Errorf("%s: %d %s %v", row.name, w.Code, w.Body, err)
		}
	}
}

// bundled returns a bundle after it was written and read.
func bundled(x bundle.Export, err error) (bundle.Bundle, error) {
	if err != nil {
		return bundle.Bundle{}, err
	}
	return x.Bundle()
}
