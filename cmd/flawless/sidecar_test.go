package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
	"github.com/flawless-engine/flawless/internal/rusttest"
)

// published returns a module that uses the published crates, and a program that uses the published flawless-utils.
var published = sync.OnceValues(func() (p struct{ module, program string }, err error) {
	if err := rusttest.Needs("openssl"); err != nil { // flawless-utils needs it to build
		return p, err
	}
	bin, err := rusttest.Build(filepath.Join("..", "..", "internal", "engine", "testdata", "beta"), rusttest.Unknown)
	if err != nil {
		return p, err
	}
	dir, err := os.MkdirTemp("", "flawless-published")
	if err != nil {
		return p, err
	}
	p.module = filepath.Join(dir, "beta.wasm")
	if err := os.WriteFile(p.module, bin, 0o600); err != nil {
		return p, err
	}
	p.program, err = rusttest.Program(filepath.Join("testdata", "sidecar"))
	return p, err
})

// counting is a server that counts requests with different idempotency keys.
type counting struct {
	*httptest.Server
	mu    sync.Mutex
	seen  map[string]bool
	fresh chan struct{} // gets one element for each
}

func newCounting(t *testing.T) *counting {
	c := &counting{seen: map[string]bool{}, fresh: make(chan struct{}, 1024)}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if key := r.Header.Get("Idempotency-Key"); !c.seen[key] {
			c.seen[key] = true
			c.fresh <- struct{}{}
		}
		fmt.Fprint(w, "done")
	}))
	t.Cleanup(c.Close)
	return c
}

func (c *counting) keys() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.seen)
}

// wait waits for n more keys.
func (c *counting) wait(t *testing.T, n int) {
	t.Helper()
	late := time.After(30 * time.Second)
	for range n {
		select {
		case <-c.fresh:
		case <-late:
			t.Fatalf("timed out after %d requests", c.keys())
		}
	}
}

func newProcess(t *testing.T, env ...string) *process {
	dir, err := built()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, binary: filepath.Join(dir, "flawless"), dir: t.TempDir(), port: freePort(t), env: env}
	p.up()
	t.Cleanup(func() { p.kill() })
	return p
}

// TestPublishedCratesSidecar runs a native program that uses flawless-utils against the real server.
func TestPublishedCratesSidecar(t *testing.T) {
	t.Parallel()
	pub, err := published()
	rusttest.Check(t, err)
	outside := newCounting(t)
	p := newProcess(t)
	for _, row := range []struct{ command, want string }{
		{"chain", `^wkf_[0-9a-z]{26} Some\("\[4,16\]"\)\n$`},
		{"fail", `^Some\(".*Failed to deserialize JSON .7. as`},
	} {
		out, err := exec.CommandContext(t.Context(), pub.program, "http://127.0.0.1:"+strconv.Itoa(p.port), pub.module, row.command, outside.URL).CombinedOutput()
		if err != nil || !regexp.MustCompile(row.want).Match(out) {
			t.Errorf("%s: %s, %v; want %s", row.command, out, err, row.want)
		}
	}
	out, err := exec.CommandContext(t.Context(), pub.program, "http://127.0.0.1:"+strconv.Itoa(p.port), pub.module, "listen").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	c := p.connect()
	defer func() { _ = c.Close() }()
	for rec, err := range c.Follow(t.Context(), strings.TrimSpace(string(out)), 0) {
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range rec.Entries {
			if e.Turn != nil && e.Turn.Ended != nil && !slices.ContainsFunc(e.Turn.Lines, func(l flawless.Line) bool { return l.Text == "the sum is 6" }) {
				t.Errorf("the run ended with %+v", e.Turn)
			}
		}
	}
	if outside.keys() != 4 {
		t.Errorf("%d requests, want 4", outside.keys())
	}
}

// TestSidecarSendsToken runs the same program against a server that requires a token.
func TestSidecarSendsToken(t *testing.T) {
	t.Parallel()
	pub, err := published()
	rusttest.Check(t, err)
	const token = "FLAWLESS_TOKEN=0123456789abcdef"
	outside := newCounting(t)
	p := newProcess(t, token)
	for _, row := range []struct {
		env    string
		passes bool
		want   string
	}{
		{"FLAWLESS_TOKEN=fedcba9876543210", false, "the bearer token is wrong"},
		{"FLAWLESS_TOKEN=", false, "requires a bearer token, and the request has none"},
		{token, true, `^wkf_[0-9a-z]{26} Some\("\[4,16\]"\)\n$`},
	} {
		cmd := exec.CommandContext(t.Context(), pub.program, "http://127.0.0.1:"+strconv.Itoa(p.port), pub.module, "chain", outside.URL)
		cmd.Env = append(cmd.Environ(), row.env)
		out, err := cmd.CombinedOutput()
		if (err == nil) != row.passes || !regexp.MustCompile(row.want).Match(out) {
			t.Errorf("with %s: %s, %v; want %s", row.env, out, err, row.want)
		}
	}
	if outside.keys() != 4 {
		t.Errorf("%d requests, want 4", outside.keys())
	}
}

// TestPublishedCratesSurviveKills kills the real server several times while runs are in progress.
func TestPublishedCratesSurviveKills(t *testing.T) {
	t.Parallel()
	pub, err := published()
	rusttest.Check(t, err)
	outside := newCounting(t)
	p := newProcess(t)
	c := p.connect()
	defer func() { _ = c.Close() }()
	bin, err := os.ReadFile(pub.module)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.AddModule(t.Context(), "", bin, nil); err != nil {
		t.Fatal(err)
	}
	times := []int{31, 33, 30, 35}
	for _, n := range times {
		in, err := json.Marshal(map[string]any{"url": outside.URL, "n": n})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := c.Start(t.Context(), client.Start{Module: "beta", Version: "0.1.1", Workflow: "steady", Input: in, ID: fmt.Sprint("run", n)}, false); err != nil {
			t.Fatal(err)
		}
	}
	for range 4 {
		outside.wait(t, 25)
		p.kill()
		p.up()
	}
	sum := 0
	for _, n := range times {
		sum += n
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		r, err := c.Run(ctx, fmt.Sprint("run", n), true)
		cancel()
		switch {
		case err != nil:
			t.Fatal(err)
		case n%2 == 1 && (r.Status != flawless.Completed || string(r.Output) != fmt.Sprintf("[%d,true]", n)):
			t.Errorf("the run is %+v %+v", r, r.Failure)
		case n%2 == 0 && (r.Status != flawless.Failed || !strings.Contains(r.Failure.Message, "an even number: 30")):
			t.Errorf("the run is %+v %+v", r, r.Failure)
		}
	}
	if outside.keys() != sum {
		t.Errorf("%d calls arrived, want %d", outside.keys(), sum)
	}
}
