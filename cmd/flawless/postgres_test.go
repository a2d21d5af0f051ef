package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
	"github.com/flawless-engine/flawless/internal/store/postgres/pgtest"
)

// lease is how long the nodes of these tests wait for each other.
const lease = 3 * time.Second

// database returns a process whose store is in a database, and its flags.
func database(t *testing.T, s *pgtest.Server) (*process, []string) {
	t.Helper()
	dir, err := built()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, binary: filepath.Join(dir, "flawless"), dir: t.TempDir(), port: freePort(t), env: []string{"PGPASSWORD=" + pgtest.Password}}
	if err := shareCompiled(dir, p.dir); err != nil {
		t.Fatal(err)
	}
	return p, []string{"--store", s.URL(pgtest.WithPassword), "--store-schema", "other", "--drain", "1s", "--lease", "3s", "--name", "a"}
}

func obeying(t *testing.T, c *client.Client, id string) {
	t.Helper()
	dir, err := built()
	if err != nil {
		t.Fatal(err)
	}
	bin, err := os.ReadFile(filepath.Join(dir, "guest.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.AddModule(t.Context(), "guest", bin, nil); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.Start(t.Context(), client.Start{Module: "guest", Workflow: "obey", ID: id}, false); err != nil {
		t.Fatal(err)
	}
}

// ends waits until the process of a server has ended, and returns its exit code.
func (p *process) ends(within time.Duration) int {
	p.t.Helper()
	done := make(chan error, 1)
	go func() { done <- p.cmd.Wait() }()
	select {
	case <-done:
	case <-time.After(within):
		p.t.Fatal("the server does not end")
	}
	return p.cmd.ProcessState.ExitCode()
}

// TestStoreInDatabase starts servers on one database in different working directories.
func TestStoreInDatabase(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t, nil)
	first, flags := database(t, s)
	said := first.up(flags...)
	t.Cleanup(first.kill)
	c := first.connect()
	defer c.Close()
	obeying(t, c, "waits")
	h, err := c.Health(t.Context())
	if err != nil || h.State != "ok" || h.Check != nil {
		t.Errorf("its health is %+v, %v", h, err)
	}
	if out := said.String(); !strings.Contains(out, "schema other") || strings.Contains(out, pgtest.Password) {
		t.Errorf("it prints %s", out)
	}
	for _, row := range []struct {
		args []string
		code int
		text string
	}{
		{[]string{"store", "show"}, 0, "has checks of its own"},
		{[]string{"store", "check"}, 2, "the checks that the database offers"},
		{[]string{"workflow", "list", "--socket", first.connectAddress()}, 0, "waits"},
		{append([]string{"up"}, flags...), 4, "in use by another server"},
		{[]string{"up", "--accept-copy", "--store", s.URL(pgtest.User)}, 2, "--accept-copy is for"},
		{[]string{"up", "--store-schema", "x"}, 2, "--store-schema needs --store"},
		{[]string{"up", "--name", "x"}, 2, "--name needs --store"},
		{[]string{"up", "--advertise", "10.0.0.1:1"}, 2, "--advertise needs --store"},
		{[]string{"up", "--lease", "5s"}, 2, "--lease needs --store"},
		{[]string{"up", "--store", s.URL(pgtest.User), "--lease", "1s"}, 2, "3s"},
		{append([]string{"--working-dir", t.TempDir(), "up", "--name", "a b"}, flags[:4]...), 2, "give one with --name"},
		{append([]string{"--working-dir", t.TempDir(), "up", "--advertise", "nowhere"}, flags[:4]...), 2, "host:port"},
		{append([]string{"--working-dir", t.TempDir(), "up", "--advertise", "0.0.0.0:1"}, flags[:4]...), 2, "no other machine"},
		{[]string{"up", "--store", "somewhere"}, 2, "postgres://"},
	} {
		code, out := first.command(row.args...)
		if code != row.code || !strings.Contains(out, row.text) {
			t.Errorf("%s: exit code %d, want %d with %q: %s", row.args, code, row.code, row.text, out)
		}
	}
	first.kill()

	// The next server is on another machine.
	second, _ := database(t, s)
	second.up(flags...)
	t.Cleanup(second.kill)
	d := second.connect()
	defer d.Close()
	if r, err := d.Run(t.Context(), "waits", false); err != nil || r.Status != flawless.Waiting {
		t.Errorf("the run is %+v, %v", r, err)
	}
}

// TestDatabaseIsAway stops the database under a server that has a call in flight, for longer than the lease.
func TestDatabaseIsAway(t *testing.T) {
	t.Parallel()
	gate, arrived := make(chan struct{}), make(chan struct{}, 9)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-gate
		fmt.Fprint(w, "did it")
	}))
	defer web.Close()
	s := pgtest.Start(t, nil)
	p, flags := database(t, s)
	said := p.up(flags...)
	t.Cleanup(p.kill)
	c := p.connect()
	defer c.Close()
	obeying(t, c, "before")
	if code, text := p.get("/readyz"); code != 200 {
		t.Errorf("readyz is %d: %s", code, text)
	}
	input, _ := json.Marshal(map[string]any{"url": web.URL, "steps": []map[string]any{{"post": "/one"}}})
	if _, _, err := c.Start(t.Context(), client.Start{Module: "guest", Workflow: "script", ID: "calls", Input: input}, false); err != nil {
		t.Fatal(err)
	}
	<-arrived
	away := func(end, meanwhile, begin func()) {
		t.Helper()
		end()
		h := p.health("disconnected")
		if !strings.Contains(h.Message, "has not answered since 20") {
			t.Errorf("the health is %+v", h)
		}
		began := time.Now()
		_, _, err := c.Start(t.Context(), client.Start{Module: "guest", Workflow: "obey", ID: "meanwhile"}, false)
		if flawless.CodeOf(err) != flawless.Stopping || time.Since(began) > 2*time.Second {
			t.Errorf("a start while the database is away returns after %v: %v", time.Since(began), err)
		}
		live, _ := p.get("/livez")
		ready, text := p.get("/readyz")
		if live != 200 || ready != 503 || !strings.Contains(text, "database") {
			t.Errorf("livez is %d, readyz %d: %s", live, ready, text)
		}
		<-time.After(2 * lease) // nothing shows that the lease has run out
		meanwhile()
		<-time.After(lease) // nothing shows that an answer has arrived
		begin()
		p.health("ok")
	}
	var resume func()
	away(func() { resume = s.Pause(t) }, func() {}, func() { resume() })
	away(func() { s.Stop(t, pgtest.Immediate) }, func() { close(gate) }, func() { s.StartAgain(t) })
	r, err := c.Run(t.Context(), "calls", true)
	if err != nil || r.Status != flawless.Completed || len(arrived) > 0 {
		t.Errorf("the run whose call was in flight is %+v, %v", r, err)
	}
	if out := said.String(); strings.Count(out, "the database is back") < 2 || strings.Contains(out, "as a new node") {
		t.Errorf("it says %s", out)
	}

	s.Stop(t, pgtest.Fast)
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.ends(20 * time.Second)
	s.StartAgain(t)
	p.up(flags...)
	if r, err := c.Run(t.Context(), "before", false); err != nil || r.Status != flawless.Waiting {
		t.Errorf("the run is %+v, %v", r, err)
	}
}

// get asks a server for what probes ask for.
func (p *process) get(path string) (status int, text string) {
	p.t.Helper()
	r, err := http.Get("http://" + p.connectAddress() + path)
	if err != nil {
		p.t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return r.StatusCode, string(b)
}

// health waits until the health of a server has a state.
func (p *process) health(state string) (h flawless.Health) {
	p.t.Helper()
	for began := time.Now(); ; <-time.After(50 * time.Millisecond) {
		_, text := p.get("/api/v1/health")
		if err := json.Unmarshal([]byte(text), &h); err == nil && h.State == state {
			return h
		}
		if time.Since(began) > 20*time.Second {
			p.t.Fatalf("its health is not %s, but %s", state, text)
		}
	}
}
