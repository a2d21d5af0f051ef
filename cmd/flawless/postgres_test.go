package main

import (
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
	return p, []string{"--store", s.URL(pgtest.WithPassword), "--store-schema", "other", "--drain", "1s"}
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
		{[]string{"up", "--store-schema", "x"}, 2, "needs --store"},
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
	// A third one takes the store over. The second one notices when it writes.
	third, _ := database(t, s)
	third.up(flags...)
	t.Cleanup(third.kill)
	if _, _, err := d.Start(t.Context(), client.Start{Module: "guest", Workflow: "obey", ID: "another"}, false); err == nil {
		t.Error("a server that has lost its store accepts work")
	}
	if code := second.ends(20 * time.Second); code != 12 {
		t.Errorf("the second server ends with %d", code)
	}
}

// TestDatabaseIsAway stops the database under a server.
func TestDatabaseIsAway(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t, nil)
	p, flags := database(t, s)
	said := p.up(flags...)
	t.Cleanup(p.kill)
	c := p.connect()
	defer c.Close()
	obeying(t, c, "before")
	s.Stop(t, pgtest.Immediate)
	started := make(chan error, 1)
	go func() {
		_, _, err := c.Start(t.Context(), client.Start{Module: "guest", Workflow: "obey", ID: "meanwhile"}, false)
		started <- err
	}()
	said.wait(t, "waiting for it")
	s.StartAgain(t)
	if err := <-started; err != nil {
		t.Errorf("a start while the database was away: %v", err)
	}
	said.wait(t, "the database is back")

	s.Stop(t, pgtest.Fast)
	go func() {
		_, _, _ = c.Start(t.Context(), client.Start{Module: "guest", Workflow: "obey", ID: "never"}, false)
	}()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.ends(20 * time.Second)
	s.StartAgain(t)
	p.up(flags...)
	for _, id := range []string{"before", "meanwhile"} {
		if r, err := c.Run(t.Context(), id, false); err != nil || r.Status != flawless.Waiting {
			t.Errorf("%s is %+v, %v", id, r, err)
		}
	}
}
