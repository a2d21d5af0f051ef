package server

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/reply"
)

// TestEmptyValuesAreRejected calls each operation with each text empty, as a program does if a variable is not set. If
// an empty id counted as no id, a repeated start would run twice.
func TestEmptyValuesAreRejected(t *testing.T) {
	t.Parallel()
	a, h := newAPI(t.Context(), newEngine(t), slog.New(slog.DiscardHandler), http.NewServeMux())
	optional := []string{"note", "who"} // empty means none
	segment := regexp.MustCompile(`\{[^}]*\}`)
	var seen []string
	refused := func(method, path, kind, body, location string) {
		t.Helper()
		seen = append(seen, location)
		r := httptest.NewRequest(method, path, strings.NewReader(body))
		r.Header.Set("Content-Type", kind)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		var p reply.Problem
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != 400 || p.Code != flawless.Invalid || len(p.Errors) != 1 || p.Errors[0].Location != location ||
			!strings.Contains(p.Detail, "is empty; give it a value or omit it") {
			t.Errorf("%s %s %s: %d %s %v", method, path, body, w.Code, w.Body, err)
		}
	}
	doc := a.huma.OpenAPI()
	for template, item := range doc.Paths {
		path := segment.ReplaceAllString(template, "1")
		for _, op := range []*huma.Operation{item.Get, item.Put, item.Post, item.Patch, item.Delete} {
			if op == nil {
				continue
			}
			for _, p := range op.Parameters {
				if p.In == "query" {
					kind := "application/json"
					if op.RequestBody != nil && op.RequestBody.Content[kind] == nil {
						kind = "application/octet-stream"
					}
					refused(op.Method, path+"?"+p.Name+"=", kind, "{}", "query."+p.Name)
				}
			}
			if op.RequestBody == nil || op.RequestBody.Content["application/json"] == nil || op.SkipValidateBody {
				continue
			}
			s := op.RequestBody.Content["application/json"].Schema
			if s.Ref != "" {
				s = doc.Components.Schemas.SchemaFromRef(s.Ref)
			}
			for name, p := range s.Properties {
				if p.Type == huma.TypeString && !slices.Contains(optional, name) {
					refused(op.Method, path, "application/json", `{"`+name+`": ""}`, "body."+name)
				}
			}
		}
	}
	for _, key := range []string{"body.id", "body.key", "body.concurrency_key", "body.version", "query.id", "query.key", "query.module", "query.status", "query.label", "query.run", "query.limit", "query.from", "query.cursor"} {
		if !slices.Contains(seen, key) {
			t.Errorf("%s was not tried, only %v", key, seen)
		}
	}

	// In a name that only ignoring case makes one the schema refuses it.
	w := httptest.NewRecorder()
	r := httptest.NewRequest("POST", "/api/v1/runs", strings.NewReader(`{"ID":"","module":"m","workflow":"w"}`))
	r.Header.Set("Content-Type", "application/json")
	h.ServeHTTP(w, r)
	if w.Code != 422 {
		t.Errorf("ID: %d %s", w.Code, w.Body)
	}
}

// TestEmptyStoreHeaderIsRejected, because it probably comes from a variable that is not set.
func TestEmptyStoreHeaderIsRejected(t *testing.T) {
	t.Parallel()
	h := handlerFor(t.Context(), t, newEngine(t), slog.New(slog.DiscardHandler))
	w := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "/api/v1/version", nil)
	r.Header.Set(flawless.StoreHeader, "")
	h.ServeHTTP(w, r)
	if w.Code != http.StatusMisdirectedRequest {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
