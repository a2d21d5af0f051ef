package web

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/engine"
	"github.com/flawless-engine/flawless/internal/guest"
	"github.com/flawless-engine/flawless/internal/server"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/mem"
	"github.com/flawless-engine/flawless/internal/vault"
	"github.com/flawless-engine/flawless/internal/web/form"
	"github.com/flawless-engine/flawless/internal/web/session"
)

var guestModule = sync.OnceValues(func() ([]byte, error) { return buildGuest(filepath.Join("testdata", "guest")) })

// buildGuest compiles the guest in a directory.
func buildGuest(from string) ([]byte, error) {
	dir, err := os.MkdirTemp("", "console")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "guest.wasm")
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-o", out, ".")
	cmd.Dir = from
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=", "GOWORK=off")
	if text, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, text)
	}
	return os.ReadFile(out)
}

// compiled is where all tests keep compiled code; TestMain makes and removes it.
var compiled string

// site is a server with the console, and a service outside that its runs call.
type site struct {
	*httptest.Server
	t       testing.TB
	outside *httptest.Server
	client  *client.Client

	token string
	kv    store.KV
	rt    *guest.Runtime
	dir   string // of the key of secrets
	kill  func() // ends the server at once

	change func(*store.Store, *engine.Options) // before the server starts
}

// newSite starts a server. Connections to /hang of the service outside break after the request was read.
func newSite(t testing.TB, token string) *site {
	t.Helper()
	return newSiteOn(t, token, mem.New())
}

// newSiteOn starts a server on a database that may have something in it.
func newSiteOn(t testing.TB, token string, db store.KV) *site {
	t.Helper()
	return newSiteWith(t, token, db, func(*store.Store, *engine.Options) {})
}

// newSiteWith is [newSiteOn] with other options of the engine, or something more in the store.
func newSiteWith(t testing.TB, token string, db store.KV, change func(*store.Store, *engine.Options)) *site {
	t.Helper()
	bin, err := guestModule()
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, token: token, kv: db, dir: t.TempDir(), change: change}
	if s.rt, err = guest.NewRuntime(t.Context(), guest.Options{CacheDir: compiled}); err != nil {
		t.Fatal(err)
	}
	s.outside = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if r.URL.Path == "/hang" {
			panic(http.ErrAbortHandler)
		}
		_, _ = io.WriteString(w, `{"path":"`+r.URL.Path+`"}`)
	}))
	s.up("127.0.0.1:0")
	t.Cleanup(func() {
		s.kill()
		s.outside.Close()
		_ = s.rt.Close(context.WithoutCancel(t.Context()))
	})
	if _, _, err := s.client.AddModule(t.Context(), "guest", bin, nil); err != nil {
		t.Fatal(err)
	}
	return s
}

// up starts the server at an address.
func (s *site) up(address string) {
	s.t.Helper()
	st, err := store.Open(s.t.Context(), s.kv)
	if err != nil {
		s.t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	secrets, err := vault.New(s.t.Context(), st, vault.Options{Dir: s.dir})
	if err != nil {
		s.t.Fatal(err)
	}
	o := engine.Options{Store: st, Guest: s.rt, Vault: secrets, Kinds: effect.Kinds(effect.Options{}), Log: log}
	s.change(st, &o)
	e, err := engine.Open(s.t.Context(), o)
	if err != nil {
		s.t.Fatal(err)
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(s.t.Context())
	server := &httptest.Server{Listener: l, Config: &http.Server{Handler: Handler(Options{Token: s.token, API: server.Require(s.token, server.Handler(ctx, e, log)), Log: log})}}
	server.Start()
	s.Server = server
	s.kill = sync.OnceFunc(func() {
		cancel()
		server.CloseClientConnections()
		server.Close()
		e.Kill()
	})
	if s.client, err = client.New(client.Options{Socket: "localhost:1", Transport: inProcess{server.Config.Handler}, Token: s.token}); err != nil {
		s.t.Fatal(err)
	}
}

// rests has the workflows that wait for something that does not come by itself.
var rests = map[string]bool{"wait": true, "ask": true, "hold": true}

// start starts a run and waits until it has ended or needs a decision, unless it sleeps.
func (s *site) start(workflow, id string, input any, labels map[string]string) flawless.Run {
	s.t.Helper()
	b, err := json.Marshal(input)
	if err != nil {
		s.t.Fatal(err)
	}
	r, _, err := s.client.Start(s.t.Context(), client.Start{Module: "guest", Workflow: workflow, Input: b, ID: id, Labels: labels}, !rests[workflow])
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

// get requests a page as a browser does, without following redirects.
func (s *site) get(path string, headers ...string) (*http.Response, string) {
	s.t.Helper()
	return s.send(http.MethodGet, path, nil, headers...)
}

func (s *site) send(method, path string, form url.Values, headers ...string) (*http.Response, string) {
	s.t.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.URL+path, body)
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Accept", "text/html,application/xhtml+xml")
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp, string(b)
}

// hostile has texts that would be interpreted by anything that does not escape them.
var hostile = []string{`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, "\u202egnp.exe", "{{.}} ${1}", strings.Repeat("long", 600), "日本語 🚀 é"}

// fill makes a run of each kind.
func (s *site) fill() {
	s.t.Helper()
	s.start("echo", "order-1", "hello", map[string]string{"customer": "c-1"})
	for i, text := range hostile {
		s.start("fail", fmt.Sprintf("failed-%d", i), text, map[string]string{"text": text[:min(len(text), 40)]})
		s.start("echo", fmt.Sprintf("echo-%d", i), text, nil)
	}
	s.start("fail", `<b>"x'&y`, "no", nil)
	s.start("wait", "sleeper", 72, nil)
	if _, err := s.client.Pause(s.t.Context(), s.start("wait", "paused", 72, nil).ID, flawless.Pause{Who: "<i>jo</i>", Note: "review"}); err != nil {
		s.t.Fatal(err)
	}
	for i := range 3 {
		if r := s.start("charge", fmt.Sprintf("doubt-%d", i), s.outside.URL+"/hang", nil); r.Status != flawless.Unresolved {
			s.t.Fatalf("the run is %s", r.Status)
		}
	}
	s.start("many", "many-40", map[string]any{"url": s.outside.URL, "n": 40, "each": 4}, nil)
	s.start("steps", "steps", 3, nil)
	if _, err := s.client.Fork(s.t.Context(), "many-40", client.Fork{Turn: 1, ID: "many-40-fork-1", Answers: []client.GivenAnswer{{Call: 2, Status: 500, Body: flawless.Bytes(hostile[0])}}}); err != nil {
		s.t.Fatal(err)
	}
}

func TestPagesAreForBrowsers(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	for _, row := range []struct{ path, accept, kind string }{
		{"/", "text/html", "text/html"}, {"/", "*/*", "application/json"}, {"/", "", "application/json"},
		{"/runs", "text/html", "text/html"}, {"/runs", "*/*", "application/problem+json"},
		{"/api/v1/runs", "text/html", "application/json"}, {"/metrics", "text/html", "text/plain"}, {"/nothing", "text/html", "text/html"},
	} {
		resp, _ := s.get(row.path, "Accept", row.accept)
		if kind, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";"); kind != row.kind {
			t.Errorf("%s with Accept %q is %s, want %s", row.path, row.accept, kind, row.kind)
		}
		if csp := resp.Header.Get("Content-Security-Policy"); (csp == policy) != (row.kind == "text/html") {
			t.Errorf("%s has the policy %q", row.path, csp)
		}
	}
	for path, status := range map[string]int{"/nothing": 404, "/runs/nobody": 404, "/runs?status=odd": 400, "/runs?since=odd": 400, "/runs?label=odd": 400} {
		if resp, body := s.get(path); resp.StatusCode != status || !strings.Contains(body, "<h1>") {
			t.Errorf("%s: status %d, want %d", path, resp.StatusCode, status)
		}
	}
}

func TestPagesEscapeEverything(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	s.fill()
	forbidden := regexp.MustCompile(`<script>|<img|onerror=alert\(1\)>|<b>tok|<b>&#34;|<i>jo| style=|\x{202e}|ZgotmplZ`)
	paths := []string{"/", "/runs", "/runs?col=why&col=labels&col=parent&col=turns", "/runs?status=failed", "/inbox", "/inbox?run=doubt-1", "/runs/doubt-1", "/runs/sleeper", "/runs/paused", "/runs/" + url.PathEscape(`<b>"x'&y`), "/runs/" + url.PathEscape(`<b>"x'&y`) + "/fork?turn=0&call=1&version=x", "/runs/many-40/diff/many-40-fork-1", "/runs/many-40/diff/" + url.PathEscape(`<b>"x'&y`), "/bundle"}
	for i := range hostile {
		paths = append(paths, fmt.Sprintf("/runs/failed-%d", i), fmt.Sprintf("/runs/echo-%d", i))
	}
	for _, path := range paths {
		resp, body := s.get(path)
		if resp.StatusCode != http.StatusOK {
			t.Errorf("%s: status %d", path, resp.StatusCode)
		}
		if found := forbidden.FindString(strings.ReplaceAll(body, `<script type="module"`, "")); found != "" {
			t.Errorf("%s contains %q", path, found)
		}
	}
}

func TestLogin(t *testing.T) {
	t.Parallel()
	const token = "0123456789abcdef"
	s := newSite(t, token)
	s.start("echo", "order-1", "secret of the run", nil)
	if resp, body := s.get("/runs/order-1"); resp.StatusCode != http.StatusUnauthorized || strings.Contains(body, "secret of the run") || !strings.Contains(body, `value="/runs/order-1"`) {
		t.Errorf("without a login: status %d", resp.StatusCode)
	}
	if resp, _ := s.send("POST", "/login", url.Values{"token": {"wrong"}}); resp.StatusCode != http.StatusUnauthorized || len(resp.Cookies()) > 0 {
		t.Errorf("with the wrong token: status %d", resp.StatusCode)
	}
	code := session.New(token).Code(time.Now())
	if resp, _ := s.send("HEAD", "/login?code="+code, nil); resp.StatusCode != http.StatusOK || len(resp.Cookies()) > 0 {
		t.Errorf("a look at the link: status %d, %d cookies", resp.StatusCode, len(resp.Cookies()))
	}
	resp, _ := s.get("/login?code=" + code + "&to=/runs/order-1")
	if resp.StatusCode != http.StatusSeeOther || resp.Header.Get("Location") != "/runs/order-1" || len(resp.Cookies()) != 1 {
		t.Fatalf("with a code: status %d, %q", resp.StatusCode, resp.Header.Get("Location"))
	}
	cookie := resp.Cookies()[0]
	if !cookie.HttpOnly || cookie.SameSite != http.SameSiteLaxMode || strings.Contains(cookie.Value, token) {
		t.Errorf("the cookie is %+v", cookie)
	}
	if resp, _ := s.get("/login?code=" + code); resp.StatusCode != http.StatusUnauthorized || len(resp.Cookies()) > 0 {
		t.Errorf("with the code again: status %d", resp.StatusCode)
	}
	as := []string{"Cookie", cookie.Name + "=" + cookie.Value}
	if resp, body := s.get("/runs/order-1", as...); resp.StatusCode != http.StatusOK || !strings.Contains(body, "secret of the run") || strings.Contains(body, token) {
		t.Errorf("with the cookie: status %d", resp.StatusCode)
	}
	if resp, _ := s.get("/api/v1/runs/order-1", as...); resp.StatusCode != http.StatusOK {
		t.Errorf("the API with the cookie: status %d", resp.StatusCode)
	}
	if resp, _ := s.get("/api/v1/runs/order-1", "Cookie", cookie.Name+"=x"+cookie.Value); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("the API with another cookie: status %d", resp.StatusCode)
	}
	if resp, _ := s.send("POST", "/login", url.Values{"token": {token}, "to": {"//evil.example"}}); resp.Header.Get("Location") != "/" || len(resp.Cookies()) != 1 {
		t.Errorf("the form leads to %q", resp.Header.Get("Location"))
	}
	if resp, _ := s.send("POST", "/logout", url.Values{}, as...); resp.Cookies()[0].MaxAge >= 0 {
		t.Errorf("the logout keeps the cookie")
	}
}

// TestLargeFormsAreRefusedAsAWhole checks that no form is taken for what fits of it.
func TestLargeFormsAreRefusedAsAWhole(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	s.start("wait", "sleeper", 72, nil)
	long := strings.Repeat("x", 2<<20)
	for path, form := range map[string]url.Values{
		"/inbox": {"body": {long}}, "/runs": {"note": {long}}, "/runs/sleeper/terminate": {"note": {long}}, "/runs/sleeper/fork": {"body": {long}},
		"/modules/guest/start/echo": {"in": {long}}, "/new/schedule": {"input": {long}}, "/secrets": {"value": {long}},
	} {
		if resp, page := s.send("POST", path, form); resp.StatusCode != http.StatusRequestEntityTooLarge || !strings.Contains(page, "at most 1 MiB, and nothing was done") {
			t.Errorf("POST %s: status %d", path, resp.StatusCode)
		}
	}
	if r, err := s.client.Run(t.Context(), "sleeper", false); err != nil || r.Status.Ended() {
		t.Errorf("the run is %s, %v", r.Status, err)
	}
	if resp, _ := s.send("POST", "/runs/sleeper/pause", url.Values{"note": {"100 %"}}); resp.StatusCode != http.StatusSeeOther {
		t.Errorf("a small form: status %d", resp.StatusCode)
	}
}

func TestSecondDecisionIsRefusedInWords(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	r := s.start("charge", "doubt", s.outside.URL+"/hang", nil)
	form := url.Values{"run": {"doubt"}, "call": {fmt.Sprint(r.Unresolved[0].Call)}, "resolution": {"response"}, "status": {"201"}, "body": {`{"id":1}`}, "note": {"found it"}}
	if resp, _ := s.send("POST", "/inbox", form); resp.StatusCode != http.StatusSeeOther {
		t.Fatalf("the first decision: status %d", resp.StatusCode)
	}
	if resp, body := s.send("POST", "/inbox", form); resp.StatusCode != http.StatusConflict || !strings.Contains(body, "somebody else was faster") {
		t.Errorf("the second decision: status %d", resp.StatusCode)
	}
	if r, err := s.client.Run(t.Context(), "doubt", true); err != nil || r.Status != flawless.Completed {
		t.Errorf("the run is %s, %v", r.Status, err)
	}
	if resp, _ := s.send("POST", "/inbox", url.Values{"run": {"doubt"}, "call": {"1"}}); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("no decision: status %d", resp.StatusCode)
	}
}

func TestBulkChangesShowFirstWhatTheyDo(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	s.start("wait", "a", 72, nil)
	s.start("wait", "b", 72, nil)
	s.start("echo", "c", "done", nil)
	form := url.Values{"run": {"a", "b", "c", "nobody"}, "verb": {"terminate"}, "note": {"test"}}
	resp, body := s.send("POST", "/runs", form)
	if resp.StatusCode != http.StatusOK || !strings.Contains(body, "<b>2 runs</b>") || !strings.Contains(body, "Left as they are") {
		t.Errorf("the preview: status %d: %s", resp.StatusCode, body)
	}
	if r, _ := s.client.Run(t.Context(), "a", false); r.Status.Ended() {
		t.Fatal("the preview has ended the run")
	}
	form.Set("step", "do")
	if resp, _ = s.send("POST", "/runs", form); resp.StatusCode != http.StatusOK {
		t.Errorf("doing it: status %d", resp.StatusCode)
	}
	for id, want := range map[string]flawless.Status{"a": flawless.Terminated, "b": flawless.Terminated, "c": flawless.Completed} {
		if r, err := s.client.Run(t.Context(), id, false); err != nil || r.Status != want {
			t.Errorf("%s is %s, want %s, %v", id, r.Status, want, err)
		}
	}
}

func TestLinksFollowTheProxy(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	s.start("echo", "order-1", "x", nil)
	absolute := regexp.MustCompile(`(?:href|src|action)="/[^"]*"`)
	for _, path := range []string{"/", "/runs", "/runs/order-1", "/inbox", "/nothing"} {
		_, body := s.get(path, "X-Forwarded-Prefix", "/tools/flawless/")
		for _, link := range absolute.FindAllString(body, -1) {
			if !strings.Contains(link, `"/tools/flawless/`) {
				t.Errorf("%s has %s", path, link)
			}
		}
		if _, body := s.get(path, "X-Forwarded-Prefix", `/"><script>`); strings.Contains(body, `"><script>`) {
			t.Errorf("%s takes any prefix", path)
		}
	}
}

func TestAssetsAreKept(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	_, body := s.get("/")
	path := regexp.MustCompile(`/static/console\.js\?v=[0-9a-f]+`).FindString(body)
	resp, _ := s.get(path, "Accept-Encoding", "gzip")
	if resp.Header.Get("Content-Encoding") != "gzip" || !strings.Contains(resp.Header.Get("Cache-Control"), "immutable") {
		t.Errorf("%s: %v", path, resp.Header)
	}
	if again, _ := s.get(path, "Accept-Encoding", "gzip", "If-None-Match", resp.Header.Get("ETag")); again.StatusCode != http.StatusNotModified {
		t.Errorf("the same again: status %d", again.StatusCode)
	}
	if old, _ := s.get("/static/console.js?v=0", "Accept-Encoding", ""); strings.Contains(old.Header.Get("Cache-Control"), "immutable") {
		t.Error("another version is kept")
	}
}

// TestBundleIsFresh compares the bundle with what the scripts give. It needs the npm registry.
func TestBundleIsFresh(t *testing.T) {
	t.Parallel()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "go", "run", ".", "-dir", dir, "-check")
	cmd.Dir, cmd.Stdout, cmd.Stderr = filepath.Join("..", "..", "tools", "console"), &out, &out
	if err := cmd.Run(); err != nil {
		if strings.Contains(out.String(), "cannot be reached") || strings.Contains(out.String(), "dial tcp") {
			leaveOut(t, "whether the bundle is fresh: the npm registry cannot be reached")
		}
		t.Fatalf("%v: %s", err, out.String())
	}
}

// TestTextWithLinesKeepsThem: an <input> would drop the line breaks of a default.
func TestTextWithLinesKeepsThem(t *testing.T) {
	t.Parallel()
	p, err := parsePage("run.html")
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := p.ExecuteTemplate(&b, "field", &form.Field{ID: "f1", Name: "note", Kind: form.Text, Value: "dear\nall"}); err != nil {
		t.Fatal(err)
	}
	if text := b.String(); !strings.Contains(text, "<textarea") || !strings.Contains(text, ">dear\nall</textarea>") {
		t.Errorf("the field is:\n%s", text)
	}
}
