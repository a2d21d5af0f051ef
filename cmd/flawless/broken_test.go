package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
)

// TestServerStopsWithoutItsStore moves the database files away from under a real server. The server stops with an
// exit code of its own, so that a supervisor restarts it, and continues when the files are back.
func TestServerStopsWithoutItsStore(t *testing.T) {
	t.Parallel()
	dir, err := built()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, binary: filepath.Join(dir, "flawless"), dir: t.TempDir(), port: freePort(t)}
	if err := shareCompiled(dir, p.dir); err != nil {
		t.Fatal(err)
	}
	said := p.up()
	t.Cleanup(func() { p.kill() })
	bin, err := os.ReadFile(filepath.Join(dir, "guest.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	c := p.connect()
	defer c.Close()
	if _, _, err := c.AddModule(t.Context(), "guest", bin, nil); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.Start(t.Context(), client.Start{Module: "guest", Workflow: "obey", ID: "waits"}, false); err != nil {
		t.Fatal(err)
	}
	db, away := filepath.Join(p.dir, "store", "data"), filepath.Join(p.dir, "away")
	if err := os.Rename(db, away); err != nil {
		t.Fatal(err)
	}
	// Large inputs fill the log of the store, which then needs a new file.
	large := []byte(`"` + strings.Repeat("x", 3<<20) + `"`)
	for range 10 {
		if _, _, err = c.Start(t.Context(), client.Start{Module: "guest", Workflow: "empty", Input: large}, false); err != nil {
			break
		}
	}
	done := make(chan error, 1)
	go func() { done <- p.cmd.Wait() }()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Fatalf("the server does not stop; it printed %s", said)
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 12 || !strings.Contains(said.String(), "restart the server") {
		t.Errorf("exit code %d; it printed %s", code, said)
	}
	_ = os.RemoveAll(db)
	if err := os.Rename(away, db); err != nil {
		t.Fatal(err)
	}
	p.up()
	if r, err := c.Run(t.Context(), "waits", false); err != nil || r.Status != flawless.Waiting {
		t.Errorf("the run is %+v, %v", r, err)
	}
}
