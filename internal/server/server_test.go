package server

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/engine"
	"github.com/flawless-engine/flawless/internal/guest"
	"github.com/flawless-engine/flawless/internal/listen"
	"github.com/flawless-engine/flawless/internal/reply"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

func hello(t *testing.T) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "hello.wasm")
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-o", out, ".")
	cmd.Dir = filepath.Join("..", "..", "examples", "hello")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=", "GOWORK=off")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func newEngine(t testing.TB) *engine.Engine {
	t.Helper()
	rt, err := guest.NewRuntime(t.Context(), guest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), mem.New())
	if err != nil {
		t.Fatal(err)
	}
	e, err := openEngine(t.Context(), engine.Options{Store: s, Guest: rt, Kinds: effect.Kinds(effect.Options{})})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		e.Kill()
		_ = rt.Close(context.Background())
	})
	return e
}

// TestAPI adds a module and starts a run over each protocol.
func TestAPI(t *testing.T) {
	t.Parallel()
	bin := hello(t)
	for _, row := range []struct {
		name, protocol string
		noQUIC         bool
	}{{"HTTP/3", "HTTP/3", false}, {"HTTP/1.1", "HTTP", true}} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			l, err := listen.Listen(listen.Address{Socket: "127.0.0.1:0", Dir: t.TempDir()}, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			l.Serve(handlerFor(ctx, t, newEngine(t), slog.New(slog.DiscardHandler)))
			t.Cleanup(func() { cancel(); _ = l.Close(context.Background()) })
			_, port, _ := strings.Cut(l.TCP(), ":")
			var tcp int
			if err := json.Unmarshal([]byte(port), &tcp); err != nil {
				t.Fatal(err)
			}
			c, err := client.New(client.Options{Socket: l.UDP(), Port: tcp, NoQUIC: row.noQUIC})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if p := c.Protocol(t.Context()); p != row.protocol {
				t.Fatalf("the protocol is %s", p)
			}
			life(t, c, bin)
		})
	}
}

func life(t *testing.T, c *client.Client, bin []byte) {
	ctx := t.Context()
	stages := ""
	m, added, err := c.AddModule(ctx, "hello", bin, func(stage string, done float64) {
		if !strings.Contains(stages, stage) {
			stages += stage + " "
		}
	})
	if err != nil || !added || m.Version != 1 || stages != "uploading rewriting compiling initialising storing " {
		t.Fatalf("adding: %+v %v %v, stages %q", m, added, err, stages)
	}
	if _, added, err := c.AddModule(ctx, "hello", bin, nil); err != nil || added {
		t.Errorf("adding it again: %v %v", added, err)
	}
	if _, _, err := c.AddModule(ctx, "bad", []byte("hello"), nil); !errors.Is(err, flawless.Invalid) || !strings.Contains(err.Error(), "not a WebAssembly file") {
		t.Errorf("adding text: %v", err)
	}
	w := m.Manifest.Workflows[0].Name
	if _, _, err := c.Start(ctx, client.Start{Module: "hello", Workflow: w, Input: []byte(`7`)}, false); !errors.Is(err, flawless.Invalid) {
		t.Errorf("a bad input: %v", err)
	}
	if _, _, err := c.Start(ctx, client.Start{Module: "nobody", Workflow: w}, false); !errors.Is(err, flawless.NotFound) {
		t.Errorf("no such module: %v", err)
	}
	in := []byte(`{"name":"Ann"}`)
	r, started, err := c.Start(ctx, client.Start{Module: "hello", Workflow: w, Input: in, ID: "one"}, true)
	if err != nil || !started || r.Status != flawless.Completed || !strings.Contains(string(r.Output), "Ann") {
		t.Fatalf("starting: %+v %+v %v %v", r, r.Failure, started, err)
	}
	if _, started, err := c.Start(ctx, client.Start{Module: "hello", Workflow: w, Input: in, ID: "one"}, false); err != nil || started {
		t.Errorf("starting it again: %v %v", started, err)
	}
	n := 0
	for rec, err := range c.Follow(ctx, "one", 0) {
		if err != nil || rec.Seq != uint64(n) {
			t.Fatalf("following: %+v %v", rec, err)
		}
		n++
	}
	log, err := c.Log(ctx, "one", 0, 0)
	if err != nil || len(log) != n || n == 0 || log[0].Entries[0].Start == nil {
		t.Errorf("log: %+v %v, followed %d", log, err, n)
	}
	runs, next, err := c.Runs(ctx, flawless.Filter{Status: []flawless.Status{flawless.Completed}, Module: "hello"})
	if err != nil || len(runs) != 1 || next != "" {
		t.Errorf("list: %+v %q %v", runs, next, err)
	}
	if _, err := c.Cancel(ctx, "one", flawless.Cancel{}); !errors.Is(err, flawless.Conflict) {
		t.Errorf("cancelling an ended run: %v", err)
	}
	if _, err := c.Resolve(ctx, "one", flawless.Decision{Call: 3, Resolution: flawless.Retry}); !errors.Is(err, flawless.Conflict) {
		t.Errorf("resolving nothing: %v", err)
	}
	if _, err := c.Run(ctx, "nobody", false); !errors.Is(err, flawless.NotFound) {
		t.Errorf("no such run: %v", err)
	}
	if h, err := c.Health(ctx); err != nil || h.State != "ok" {
		t.Errorf("health: %+v %v", h, err)
	}
}

func TestDescriptionIsServed(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(handlerFor(t.Context(), t, newEngine(t), slog.New(slog.DiscardHandler)))
	defer s.Close()
	resp, err := http.Get(s.URL + "/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var doc struct {
		OpenAPI string                    `json:"openapi"`
		Paths   map[string]map[string]any `json:"paths"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&doc); err != nil || !strings.HasPrefix(doc.OpenAPI, "3.1") {
		t.Fatalf("%+v %v", doc.OpenAPI, err)
	}
	for _, p := range []string{"/api/v1/runs", "/api/v1/runs/{id}/calls/{n}/resolve", "/api/v1/modules/{name}", "/api/v1/events"} {
		if doc.Paths[p] == nil {
			t.Errorf("path %s is not described", p)
		}
	}
}

func TestPortInUseIsReported(t *testing.T) {
	t.Parallel()
	log := slog.New(slog.DiscardHandler)
	a, err := listen.Listen(listen.Address{Socket: "127.0.0.1:0", Dir: t.TempDir()}, log)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close(context.Background())
	if _, err := listen.Listen(listen.Address{Socket: a.UDP(), Dir: t.TempDir()}, log); !errors.Is(err, flawless.Conflict) || !strings.Contains(err.Error(), "--socket") {
		t.Errorf("the udp port: %v", err)
	}
}

func TestInvalidJSONIsReported(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(handlerFor(t.Context(), t, newEngine(t), slog.New(slog.DiscardHandler)))
	defer s.Close()
	for _, row := range []struct {
		body   string
		status int
	}{{`{"module":`, 400}, {`{"module":"m"}`, 422}, {`{"module":"m","workflow":"w","input":` + strings.Repeat(" ", maxBody) + `1}`, 413}} {
		resp, err := http.Post(s.URL+"/api/v1/runs", "application/json", strings.NewReader(row.body))
		if err != nil {
			t.Fatal(err)
		}
		var p reply.Problem
		err = json.NewDecoder(resp.Body).Decode(&p)
		resp.Body.Close()
		if resp.StatusCode != row.status || err != nil || p.Detail == "" || !strings.Contains(resp.Header.Get("Content-Type"), "problem+json") {
			t.Errorf("%.40s: status %d, %+v, %v", row.body, resp.StatusCode, p, err)
		}
	}
}
