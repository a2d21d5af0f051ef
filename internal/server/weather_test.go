package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/engine"
	"github.com/flawless-engine/flawless/internal/guest"
	"github.com/flawless-engine/flawless/internal/listen"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

// guests returns a directory with the guest of the engine tests, which is built and compiled once.
var guests = sync.OnceValues(func() (dir string, err error) {
	if dir, err = os.MkdirTemp("", "server"); err != nil {
		return "", err
	}
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-o", filepath.Join(dir, "guest.wasm"), ".")
	cmd.Dir = filepath.Join("..", "engine", "testdata", "guest")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=", "GOWORK=off")
	if text, err := cmd.CombinedOutput(); err != nil {
		return dir, fmt.Errorf("%w: %s", err, text)
	}
	bin, err := os.ReadFile(filepath.Join(dir, "guest.wasm"))
	if err != nil {
		return dir, err
	}
	rt, err := guest.NewRuntime(context.Background(), guest.Options{CacheDir: filepath.Join(dir, "compiled")})
	if err != nil {
		return dir, err
	}
	_, err = rt.Load(context.Background(), bin, nil)
	return dir, errors.Join(err, rt.Close(context.Background()))
})

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, _ := guests(); dir != "" {
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}

// weathered is a server with the guest of the engine tests and its own database.
type weathered struct {
	engine *engine.Engine
	kv     *mem.DB
	http   string // http://host:port
	udp    string
	port   int
}

func newWeathered(t *testing.T) *weathered {
	t.Helper()
	dir, err := guests()
	if err != nil {
		t.Fatal(err)
	}
	bin, err := os.ReadFile(filepath.Join(dir, "guest.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	rt, err := guest.NewRuntime(t.Context(), guest.Options{CacheDir: filepath.Join(dir, "compiled")})
	if err != nil {
		t.Fatal(err)
	}
	w := &weathered{kv: mem.New()}
	s, err := store.Open(t.Context(), w.kv)
	if err != nil {
		t.Fatal(err)
	}
	if w.engine, err = openEngine(t.Context(), engine.Options{Store: s, Guest: rt, Kinds: effect.Kinds(effect.Options{}), Space: w.kv}); err != nil {
		t.Fatal(err)
	}
	quiet := slog.New(slog.DiscardHandler)
	l, err := listen.Listen(listen.Address{Socket: "127.0.0.1:0", Dir: t.TempDir()}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	l.Serve(handlerFor(ctx, t, w.engine, quiet))
	t.Cleanup(func() {
		cancel()
		_ = l.Close(context.Background())
		w.engine.Kill()
		_ = rt.Close(context.Background())
	})
	if _, _, err := w.engine.AddModule(t.Context(), "guest", bin, nil); err != nil {
		t.Fatal(err)
	}
	_, port, _ := strings.Cut(l.TCP(), ":")
	if w.port, err = strconv.Atoi(port); err != nil {
		t.Fatal(err)
	}
	w.http, w.udp = "http://"+l.TCP(), l.UDP()
	return w
}

// h2c returns a client for HTTP/2 without TLS only.
func h2c(t *testing.T) *http.Client {
	p := new(http.Protocols)
	p.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: p}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// ask sends a request and returns the answer.
func ask(t *testing.T, c *http.Client, method, url, body string) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if strings.Contains(url, "/modules/") {
		req.Header.Set("Content-Type", "application/wasm")
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, b
}

func TestAPIOverHTTP2WithoutTLS(t *testing.T) {
	t.Parallel()
	w, c := newWeathered(t), h2c(t)
	resp, b := ask(t, c, http.MethodPost, w.http+"/api/v1/runs?wait=true", `{"module":"guest","workflow":"empty","input":{"a":1},"id":"one"}`)
	var s Started
	if err := json.Unmarshal(b, &s); err != nil || resp.ProtoMajor != 2 || resp.StatusCode != http.StatusCreated || string(s.Run.Output) != `{"a":1}` {
		t.Fatalf("%s, status %d: %s, %v", resp.Proto, resp.StatusCode, b, err)
	}
	resp, b = ask(t, c, http.MethodGet, w.http+"/api/v1/runs/one/events", "")
	if !bytes.Contains(b, []byte("event: record")) || !bytes.Contains(b, []byte("event: run")) {
		t.Errorf("%s, the stream of the run: %s", resp.Proto, b)
	}
}

// TestTenThousandStartsAtOnce sends them over a few connections that are opened before, with 200 at a time on each:
// otherwise a client opens one connection per request.
func TestTenThousandStartsAtOnce(t *testing.T) {
	t.Parallel()
	n := 10_000
	if testing.Short() || os.Getenv(withFront) != "" {
		n = 1000
	}
	w := newWeathered(t)
	clients := make([]*http.Client, n/200)
	for k := range clients {
		clients[k] = h2c(t)
		ask(t, clients[k], http.MethodGet, w.http+"/api/v1/version", "")
	}
	var completed atomic.Int64
	var all sync.WaitGroup
	for k := range n {
		all.Go(func() {
			c := clients[k%len(clients)]
			resp, err := c.Post(w.http+"/api/v1/runs?wait=true", "application/json", strings.NewReader(`{"module":"guest","workflow":"empty"}`))
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			var s Started
			if err := json.NewDecoder(resp.Body).Decode(&s); err != nil || s.Run.Status != flawless.Completed {
				t.Errorf("status %d, it is %+v, %v", resp.StatusCode, s.Run, err)
				return
			}
			completed.Add(1)
		})
	}
	all.Wait()
	if int(completed.Load()) != n {
		t.Errorf("%d of %d runs completed", completed.Load(), n)
	}
}

func TestClientDisconnectsWhileWaiting(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name   string
		noQUIC bool
	}{{"HTTP/3", false}, {"HTTP/1.1", true}} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			w := newWeathered(t)
			c, err := client.New(client.Options{Socket: w.udp, Port: w.port, NoQUIC: row.noQUIC, Patience: -1})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			begun := make(chan string, 64)
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			go func() {
				for r, err := range w.engine.Watch(ctx) {
					if err != nil {
						return
					}
					begun <- r.ID
				}
			}()
			leave, gone := context.WithCancel(t.Context())
			done := make(chan error)
			go func() {
				_, _, err := c.Start(leave, client.Start{Module: "guest", Workflow: "obey", ID: "run"}, true)
				done <- err
			}()
			<-begun // the run is durable, and the client waits for its end
			gone()
			if err := <-done; err == nil {
				t.Error("the client got an answer")
			}
			if _, err := c.Cancel(t.Context(), "run", flawless.Cancel{}); err != nil {
				t.Fatalf("the run does not exist: %v", err)
			}
			if r, err := c.Run(t.Context(), "run", true); err != nil || r.Status != flawless.Cancelled {
				t.Errorf("the run is %+v, %v", r, err)
			}
		})
	}
}

func TestFullDiskIsReported(t *testing.T) {
	t.Parallel()
	w, c := newWeathered(t), h2c(t)
	ask(t, c, http.MethodPost, w.http+"/api/v1/runs?wait=true", `{"module":"guest","workflow":"empty","id":"before"}`)
	w.kv.SetFull(true)
	for _, row := range []struct {
		method, path, body string
		status             int
	}{
		{http.MethodPost, "/api/v1/runs", `{"module":"guest","workflow":"empty"}`, http.StatusInsufficientStorage},
		{http.MethodPut, "/api/v1/modules/other", "not looked at", http.StatusInsufficientStorage},
		{http.MethodGet, "/api/v1/health", "", http.StatusServiceUnavailable},
		{http.MethodGet, "/api/v1/runs/before", "", http.StatusOK},
		{http.MethodGet, "/api/v1/runs", "", http.StatusOK},
	} {
		resp, b := ask(t, c, row.method, w.http+row.path, row.body)
		if resp.StatusCode != row.status || row.status != http.StatusOK && !bytes.Contains(b, []byte("full")) {
			t.Errorf("%s %s: status %d, %s", row.method, row.path, resp.StatusCode, b)
		}
	}
	w.kv.SetFull(false)
	if resp, b := ask(t, c, http.MethodPost, w.http+"/api/v1/runs?wait=true", `{"module":"guest","workflow":"empty"}`); resp.StatusCode != http.StatusCreated {
		t.Errorf("after space was freed: status %d, %s", resp.StatusCode, b)
	}
}

func TestOversizedInputIsReported(t *testing.T) {
	t.Parallel()
	w := newWeathered(t)
	c, err := client.New(client.Options{Socket: w.udp, Port: w.port, NoQUIC: true, Patience: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _, err = c.AddModule(t.Context(), "large", make([]byte, engine.MaxModule+1), nil)
	tooLarge(t, "a module", err, engine.MaxModule)
	long := json.RawMessage(`"` + strings.Repeat("x", maxBody) + `"`)
	_, _, err = c.Start(t.Context(), client.Start{Module: "guest", Workflow: "empty", Input: long}, false)
	tooLarge(t, "an input", err, maxBody)
	most := json.RawMessage(`"` + strings.Repeat("x", maxBody-200) + `"`)
	if r, _, err := c.Start(t.Context(), client.Start{Module: "guest", Workflow: "empty", Input: most}, true); err != nil || len(r.Output) != len(most) {
		t.Errorf("an input just below the limit: %v", err)
	}
}

func tooLarge(t *testing.T, what string, err error, limit int) {
	t.Helper()
	if flawless.CodeOf(err) != flawless.TooLarge || !strings.Contains(err.Error(), fmt.Sprintf("at most %d bytes", limit)) {
		t.Errorf("%s: %v", what, err)
	}
}
