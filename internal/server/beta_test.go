package server

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/engine"
	"github.com/flawless-engine/flawless/internal/rusttest"
)

// form returns a form with a module.
func form(t *testing.T, field string, bin []byte) (body, kind string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	part, err := w.CreateFormFile(field, "m.wasm")
	if err == nil {
		_, err = part.Write(bin)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.String(), w.FormDataContentType()
}

// TestBetaAPI calls flawless.dev's operations with a module that uses its crates.
func TestBetaAPI(t *testing.T) {
	t.Parallel()
	bin, err := rusttest.Build(filepath.Join("..", "engine", "testdata", "beta"), rusttest.Unknown)
	rusttest.Check(t, err)
	s := httptest.NewServer(handlerFor(t.Context(), t, newEngine(t), slog.New(slog.DiscardHandler)))
	defer s.Close()
	good, kind := form(t, "module", bin)
	other, otherKind := form(t, "file", bin)
	broken, brokenKind := form(t, "module", []byte("\x00asm"))
	nameless, namelessKind := form(t, "module", hello(t))
	id := ""
	for _, row := range []struct {
		what, method, path, kind, body string
		status                         int
		want                           string // pattern; its group is the id for later rows
	}{
		{"the version", "GET", "/version", "", "", 200, `^(\d+\.\d+\.\d+.*|devel)\n$`},
		{"no form", "POST", "/api/module/deploy", "application/wasm", "x", 400, `"error":".*multipart`},
		{"another field", "POST", "/api/module/deploy", otherKind, other, 400, `"error":".*no field module`},
		{"no module", "POST", "/api/module/deploy", brokenKind, broken, 400, `"error":"`},
		{"a module without a name", "POST", "/api/module/deploy", namelessKind, nameless, 422, `"error":".*declares the name`},
		{"deploying", "POST", "/api/module/deploy", kind, good, 200, `^{"ok":{"name":"beta","version":"0.1.1"}}\n$`},
		{"deploying again", "POST", "/api/module/deploy", kind, good, 200, `^{"ok":{"name":"beta","version":"0.1.1"}}\n$`},
		{"a body without a type", "POST", "/api/workflow/start", "", "{}", 415, `^{"error":"the body has no content type: send the header Content-Type: application/json"}\n$`},
		{"no JSON", "POST", "/api/workflow/start", "application/json", "{", 400, `"error":".*JSON`},
		{"no such module", "POST", "/api/workflow/start", "application/json", `{"module":"x","version":"0.1.1","workflow":"echo","input":"1"}`, 404, `"error":"`},
		{"no such version", "POST", "/api/workflow/start", "application/json", `{"module":"beta","version":"0.1.2","workflow":"echo","input":"1"}`, 404, `"error":".*0\.1\.1`},
		{"no such workflow", "POST", "/api/workflow/start", "application/json", `{"module":"beta","version":"0.1.1","workflow":"x","input":"1"}`, 404, `"error":".*echo`},
		{"input that is not JSON", "POST", "/api/workflow/start", "application/json", `{"module":"beta","version":"0.1.1","workflow":"echo","input":"a"}`, 400, `"error":".*not valid JSON`},
		{"input that does not fit", "POST", "/api/workflow/start", "application/json", `{"module":"beta","version":"0.1.1","workflow":"empty","input":"1"}`, 422, `"error":".*Failed to deserialize`},
		{"a response", "POST", "/api/workflow/start", "application/json", `{"module":"beta","version":"0.1.1","workflow":"echo","input":"\"a\""}`, 200, `^{"ok":{"id":"wkf_[0-9a-z]{26}","response":"\\"a\\""}}\n$`},
		{"no response", "POST", "/api/workflow/start", "application/json", `{"module":"beta","version":"0.1.1","workflow":"empty","input":"null"}`, 200, `"response":null}`},
		{"a response before the end", "POST", "/api/workflow/start", "application/json", `{"module":"beta","version":"0.1.1","workflow":"early"}`, 200, `"id":"(wkf_[0-9a-z]+)","response":"\\"soon\\""`},
		{"one that is running", "GET", "/workflow/ID", "", "", 200, `^{"status":"Executing","data":"soon"}\n$`},
		{"one that attends", "POST", "/api/workflow/start", "application/json", `{"module":"beta","version":"0.1.1","workflow":"attend"}`, 200, `"id":"(wkf_[0-9a-z]+)","response":"\\"attending\\""`},
		{"a message", "POST", "/api/workflow/send-msg/ID", "application/json", `{"type":"ping","data":"{\"n\":1}"}`, 200, `^"ok"\n$`},
		{"a message that is not JSON", "POST", "/api/workflow/send-msg/ID", "application/json", `{"type":"ping","data":"a"}`, 400, `"error":".*not JSON`},
		{"a message to nobody", "POST", "/api/workflow/send-msg/wkf_none", "application/json", `{"type":"ping","data":"1"}`, 404, `"error":"`},
		{"the alpha's start", "POST", "/workflow/start/beta/echo", "application/json", `[1]`, 200, `^{"id":(\d{16})}\n$`},
		{"the alpha's status by an integer", "GET", "/workflow/ID", "", "", 200, `^{"status":"(?:Success|Executing|Initializing)","data":`},
		{"the alpha's start without input", "POST", "/workflow/start/beta/empty", "", ``, 200, `^{"id":(\d+)}`},
		{"the alpha's start of nothing", "POST", "/workflow/start/beta/x", "", ``, 404, `"error":"`},
		{"the alpha's status", "GET", "/workflow/ID", "", "", 200, `^{"status":"(?:Success|Executing|Initializing)","data":`},
		{"the alpha's status of nothing", "GET", "/workflow/wkf_none", "", "", 404, `"error":"`},
	} {
		path := strings.Replace(row.path, "ID", id, 1)
		req, err := http.NewRequestWithContext(t.Context(), row.method, s.URL+path, strings.NewReader(row.body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", row.kind)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatalf("%s: %v", row.what, err)
		}
		b, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		got := regexp.MustCompile(row.want).FindStringSubmatch(string(b))
		if err != nil || resp.StatusCode != row.status || got == nil {
			t.Errorf("%s: status %d, %s, %v; want %d and %s", row.what, resp.StatusCode, b, err, row.status, row.want)
		}
		if len(got) > 1 {
			id = got[1]
		}
	}
}

// TestAlphaIDsAreUnique even if the clock stops or goes back.
func TestAlphaIDsAreUnique(t *testing.T) {
	t.Parallel()
	a := &api{}
	now := time.UnixMicro(1_700_000_000_000_000)
	for n, want := range []int64{now.UnixMicro(), now.UnixMicro() + 1, now.UnixMicro() + 2} {
		if got := a.alphaID(now.Add(-time.Duration(n) * time.Hour)); got != want {
			t.Errorf("id %d is %d, want %d", n, got, want)
		}
	}
}

// TestAlphaStartsKnowTheirRun: an id that is taken is this request's own only if the log says so.
func TestAlphaStartsKnowTheirRun(t *testing.T) {
	t.Parallel()
	a := &api{engine: newEngine(t)}
	dir, err := guests()
	if err != nil {
		t.Fatal(err)
	}
	bin, err := os.ReadFile(filepath.Join(dir, "guest.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := a.engine.AddModule(t.Context(), "guest", bin, nil); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		id, request string
		ours        bool
	}{{"1", "r1", true}, {"1", "r1", true}, {"1", "r2", false}, {"1", "", false}, {"2", "r2", true}, {"3", "", true}, {"3", "", false}} {
		ours, err := a.alphaTry(t.Context(), engine.Start{Module: "guest", Workflow: "empty", ID: row.id, Request: row.request})
		if err != nil || ours != row.ours {
			t.Errorf("id %s for request %q: %v, %v, want %v", row.id, row.request, ours, err, row.ours)
		}
	}
	if _, err := a.alphaTry(t.Context(), engine.Start{Module: "guest", Workflow: "none", ID: "4"}); !errors.Is(err, flawless.NotFound) {
		t.Errorf("a workflow that there is not: %v", err)
	}
}
