package server

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/bundle"
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/engine"
	"github.com/flawless-engine/flawless/internal/guest"
	"github.com/flawless-engine/flawless/internal/redact"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

// TestNothingShownHoldsCredentials has runs send marked credentials and fail with them, calls every operation for
// them, and searches the answers for the mark. Then it replays an exported run.
func TestNothingShownHoldsCredentials(t *testing.T) {
	t.Parallel()
	const mark, backwards = "open-sesame-4711", "1174-emases-nepo"
	marks := []string{mark, "sesame", base64.StdEncoding.EncodeToString([]byte("ann:" + mark))}
	over := make(chan struct{})
	sent := make(chan http.Header, 100)
	outside := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sent <- r.Header
		switch r.URL.Path {
		case "/a":
			w.Header().Set("Set-Cookie", "sid="+mark+"; Path=/; HttpOnly")
			w.Header().Set("Location", "//ann:it's "+mark+"@elsewhere.test/")
		case "/hold":
			<-over
		}
	}))
	defer outside.Close()
	defer close(over)

	dir, err := guests()
	if err != nil {
		t.Fatal(err)
	}
	bin, err := os.ReadFile(filepath.Join(dir, "guest.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	hide := []string{"header:x-api-key", "query:api_key"}
	mask, err := redact.NewMask(nil, hide...)
	if err != nil {
		t.Fatal(err)
	}
	newServer := func() (*engine.Engine, *recorded) {
		rt, err := guest.NewRuntime(t.Context(), guest.Options{CacheDir: filepath.Join(dir, "compiled")})
		if err != nil {
			t.Fatal(err)
		}
		s, err := store.Open(t.Context(), mem.New())
		if err != nil {
			t.Fatal(err)
		}
		logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: mask.Attr}))
		e, err := engine.Open(t.Context(), engine.Options{Store: s, Guest: rt, Kinds: effect.Kinds(effect.Options{}), Log: logger, Hide: hide})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { e.Kill(); _ = rt.Close(context.Background()) })
		if _, _, err := e.AddModule(t.Context(), "guest", bin, nil); err != nil {
			t.Fatal(err)
		}
		m := &recorded{}
		newAPI(t.Context(), e, logger, m)
		return e, m
	}
	e, routes := newServer()

	in, err := json.Marshal(map[string]string{"url": outside.URL, "token": backwards, "via": "http://ann:" + mark + "@proxy.test"})
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"run", "other"} {
		if _, _, err := e.Start(t.Context(), engine.Start{Module: "guest", Workflow: "reveal", Input: in, ID: id}); err != nil {
			t.Fatal(err)
		}
		if _, err := e.Send(t.Context(), id, flawless.Message{Type: "note", Body: []byte(`"http://ann:it's-` + mark + `@h"`)}); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if h := <-sent; h.Get("Idempotency-Key") == "" {
				t.Errorf("the outside got %s", h)
			}
		}
	}

	ask := func(method, path, body string) string {
		ctx, gone := context.WithTimeout(t.Context(), 5*time.Second)
		defer gone()
		if strings.HasSuffix(path, "/events") {
			ctx, gone = context.WithTimeout(ctx, time.Second)
			defer gone()
		}
		r := httptest.NewRequestWithContext(ctx, method, path, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		routes.ServeHTTP(w, r)
		if w.Header().Get("Content-Type") == "application/octet-stream" {
			b, err := bundle.Read(w.Body)
			if err != nil {
				t.Fatal(err)
			}
			text, err := json.Marshal([]any{b.Log, b.Manifest, b.Image})
			if err != nil {
				t.Fatal(err)
			}
			return string(text)
		}
		return w.Body.String()
	}
	look := func(when string) {
		t.Helper()
		asked, found := 0, 0
		for _, pattern := range routes.patterns {
			method, path, _ := strings.Cut(pattern, " ")
			body := ""
			switch {
			case method == "GET":
			case strings.HasSuffix(path, "/fork"):
				body = `{"turn":1,"offline":true}`
			case strings.HasSuffix(path, "/replay"), strings.HasSuffix(path, "/trace"), strings.HasSuffix(path, "/pause"), strings.HasSuffix(path, "/resume"):
			default:
				continue
			}
			path = strings.NewReplacer("/modules/{name}", "/modules/guest", "{other}", "other", "{id}", "run").Replace(path)
			path = regexp.MustCompile(`{\w+}`).ReplaceAllString(path, "x")
			text := ask(method, path, body)
			asked++
			if strings.Contains(text, "redacted") {
				found++
			}
			for _, m := range marks {
				if at := strings.Index(text, m); at >= 0 {
					t.Errorf("%s, %s %s shows …%s…", when, method, path, text[max(0, at-200):min(len(text), at+100)])
				}
			}
		}
		if asked < 25 || found < 6 {
			t.Errorf("%s, only %d operations were called, and %d had something to mask", when, asked, found)
		}
	}
	look("while it waits")
	if _, err := e.Resolve(t.Context(), "run", flawless.Decision{Call: 9, Resolution: flawless.Fail}); err == nil {
		t.Error("a call that was not made is decided about")
	}
	for _, id := range []string{"run", "other"} {
		if _, err := e.Terminate(t.Context(), id, flawless.Cancel{Note: "see http:/ann:it's-" + mark + "@h or ann:" + mark + "@h:80"}); err != nil {
			t.Fatal(err)
		}
	}
	look("after its end")

	b, err := bundled(e.Export(t.Context(), "run", engine.Export{}))
	if err != nil || b.Image != nil {
		t.Fatalf("exporting: image %v, %v", b.Image != nil, err)
	}
	elsewhere, _ := newServer()
	if _, err := elsewhere.Import(t.Context(), b, "copy"); err != nil {
		t.Fatal(err)
	}
	got, err := elsewhere.Replay(t.Context(), "copy", nil)
	if err != nil || got.Divergence != nil || got.Calls < 3 {
		t.Errorf("replayed on another engine: %+v, %v, %v", got, got.Divergence, err)
	}
	changed := b
	changed.Log = slices.Clone(b.Log)
	first := *b.Log[0].Entries[0].Start
	first.Input = []byte(strings.Replace(string(first.Input), backwards, strings.ToUpper(backwards), 1))
	changed.Log[0].Entries = slices.Clone(b.Log[0].Entries)
	changed.Log[0].Entries[0].Start = &first
	if _, err := elsewhere.Import(t.Context(), changed, "changed"); err != nil {
		t.Fatal(err)
	}
	got, err = elsewhere.Replay(t.Context(), "changed", nil)
	if err != nil || got.Divergence == nil || got.Divergence.Logged == nil || got.Divergence.Asked == nil {
		t.Fatalf("with another token: %+v, %v", got, err)
	}
	if text := got.Divergence.Error(); strings.Contains(strings.ToLower(text), "sesame") || strings.Count(text, "redacted:") < 8 {
		t.Errorf("the divergence shows %s", text)
	}
	for _, m := range marks {
		if strings.Contains(log.String(), m) {
			t.Errorf("the log of the server shows %s", log.String())
		}
	}
}

// TestAllJSONIsMasked checks that everything which is sent to clients is encoded by the functions that mask
// credentials. The few exceptions are counted.
func TestAllJSONIsMasked(t *testing.T) {
	t.Parallel()
	var files []string
	for _, dir := range []string{".", "../forward", "../listen", "../reply"} {
		found, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil || len(found) < 2 {
			t.Fatal(dir, found, err)
		}
		files = append(files, found...)
	}
	encoding := regexp.MustCompile(`json\.(NewEncoder|Marshal)|\b(JSON|WriteJSON)\(`)
	masked := regexp.MustCompile(`\breply\.(JSON|WriteJSON)\((w, )?shown\(`)
	allowed := map[string]int{
		"../reply/json.go":         4, // JSON and WriteJSON, which calls it
		"../reply/problem.go":      1, // a refusal, in the server's own words
		"../listen/connections.go": 1, // the same
		"welcome.go":               1, // the answer to GET /
	}
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		n := len(encoding.FindAll(masked.ReplaceAll(text, nil), -1))
		if want := allowed[filepath.ToSlash(path)]; n != want {
			t.Errorf("%s encodes JSON without shown() in %d places, want %d: use api.encode", path, n, want)
		}
	}
}
