package server

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/bundle"
	"github.com/flawless-engine/flawless/internal/reply"
)

// TestNonUTF8TextIsRejected in the body, the path and the query of every operation, before the engine is called.
func TestNonUTF8TextIsRejected(t *testing.T) {
	t.Parallel()
	a, h := newAPI(context.Background(), newEngine(t), slog.New(slog.DiscardHandler), http.NewServeMux())
	refused := func(method, target, kind, body string) {
		t.Helper()
		r := httptest.NewRequest(method, target, strings.NewReader(body))
		r.Header.Set("Content-Type", kind)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "not valid UTF-8") || !json.Valid(w.Body.Bytes()) || !utf8.Valid(w.Body.Bytes()) {
			t.Errorf("%s %s with %q: status %d, %s", method, target, body, w.Code, w.Body)
		}
	}
	check := func(method, pattern string, takesText bool) {
		path := strings.NewReplacer("{n}", "1", "{", "", "}", "").Replace(pattern)
		refused(method, path+"?who=%ff", "application/json", `{}`)
		if open := strings.Index(pattern, "{"); open >= 0 {
			refused(method, path[:open]+"%ff"+path[open:], "application/json", `{}`)
		}
		if takesText {
			refused(method, path, "application/json", "{\"note\":\"caf\xe9\"}")
			refused(method, path, "application/json", "\xef\xbb")
		}
	}
	for path, item := range a.huma.OpenAPI().Paths {
		for _, op := range []*huma.Operation{item.Get, item.Post, item.Put, item.Patch, item.Delete} {
			if op != nil {
				check(op.Method, path, op.RequestBody != nil && op.RequestBody.Content["application/json"] != nil)
			}
		}
	}
	for _, r := range a.theirRoutes() {
		method, path, _ := strings.Cut(r.pattern, " ")
		check(method, path, method == "POST" && path != "/api/module/deploy")
	}
}

// TestAnswersAreUTF8 even if the input, data and output of a run are not.
func TestAnswersAreUTF8(t *testing.T) {
	t.Parallel()
	o := newOwned(t)
	versions, err := o.api.engine.Module(t.Context(), "guest")
	if err != nil {
		t.Fatal(err)
	}
	// Such an input is refused by now, but an older server took it.
	old := bundle.Bundle{Manifest: bundle.Manifest{Run: flawless.Run{ID: "odd"}, Module: versions[0]}, Log: []flawless.Record{{Entries: []flawless.Entry{
		{At: 1, Start: &flawless.Start{Module: "guest", Digest: versions[0].Digest, Workflow: "empty", Input: []byte("{\"a\":\"caf\xe9\"}"), Seed: make([]byte, 32), Time: 1}},
		{At: 1, Turn: &flawless.Turn{N: 1, Time: 1, Ended: &flawless.Ended{Output: []byte("{\"a\":\"caf\xe9\"}")}}}}}}}
	if _, err := o.api.engine.Import(t.Context(), old, ""); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"", "?wait=true", "/log", "/events"} {
		got := o.do("GET", "/api/v1/runs/odd"+path, "")
		if !utf8.ValidString(got) || !strings.Contains(got, "caf\uFFFD") {
			t.Errorf("%q: %q", path, got)
		}
		if path != "/events" && !json.Valid([]byte(got)) {
			t.Errorf("%q is not JSON: %q", path, got)
		}
	}
}

func FuzzJSONIsUTF8(f *testing.F) {
	for _, s := range []string{`{"a":"b"}`, "\"caf\xe9\"", `"\ud800"`, "\"\xed\xa0\x80\"", "[\"\xf0\x9f\",\"\x80\"]", "<&>\u2028"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v := map[string]any{"text": string(b)}
		if json.Valid(b) {
			v["raw"] = json.RawMessage(b)
		}
		got, err := reply.JSON(v)
		if err != nil || !utf8.Valid(got) || !json.Valid(got) || bytes.Count(got, []byte("\n")) != 1 {
			t.Errorf("%q, %v", got, err)
		}
	})
}

func FuzzAnswersAreUTF8(f *testing.F) {
	_, h := newAPI(context.Background(), newEngine(f), slog.New(slog.DiscardHandler), http.NewServeMux())
	for _, s := range []string{"runs", "a\xff", "%2F..", "promises/\xc3\x28"} {
		f.Add(s, s, []byte(s))
	}
	f.Fuzz(func(t *testing.T, path, query string, body []byte) {
		if utf8.ValidString(path) && utf8.ValidString(query) && utf8.Valid(body) {
			return // it would reach the engine, and there is none
		}
		for _, target := range []string{"/api/v1/promises/" + url.PathEscape(path), "/api/workflow/send-msg/" + url.PathEscape(path)} {
			r := httptest.NewRequest(http.MethodPost, "http://h"+target+"?q="+url.QueryEscape(query), bytes.NewReader(body))
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			answer, err := io.ReadAll(w.Result().Body)
			if err != nil || w.Code < 300 || !utf8.Valid(answer) || w.Code == http.StatusInternalServerError {
				t.Errorf("%s: status %d, %q, %v", target, w.Code, answer, err)
			}
		}
	})
}
