//go:build unix

package main

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// bare returns a server with an empty directory that is not started.
func bare(t *testing.T) *process {
	t.Helper()
	dir, err := built()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, binary: filepath.Join(dir, "flawless"), dir: filepath.Join(t.TempDir(), "data"), port: freePort(t)}
	if err := shareCompiled(dir, p.dir); err != nil {
		t.Fatal(err)
	}
	return p
}

// refused starts a server that must exit at once, and returns its exit code and output.
func (p *process) refused(flags ...string) (int, string) {
	p.t.Helper()
	c := exec.CommandContext(p.t.Context(), p.binary, append([]string{"--working-dir", p.dir, "--socket", "127.0.0.1:" + strconv.Itoa(freePort(p.t)), "up"}, flags...)...)
	c.Env = append(c.Environ(), "FLAWLESS_TOKEN=")
	said := newLines()
	c.Stdout, c.Stderr = said, said
	if err := c.Start(); err != nil {
		p.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = c.Wait()
	}()
	select {
	case <-ended:
	case <-time.After(30 * time.Second):
		_ = c.Process.Kill()
		<-ended
		p.t.Fatalf("the server does not exit; it printed %s", said)
	}
	return c.ProcessState.ExitCode(), said.String()
}

// TestRemovedLockFileAdmitsNoSecondServer: two servers on one directory would each send every call.
func TestRemovedLockFileAdmitsNoSecondServer(t *testing.T) {
	t.Parallel()
	p := bare(t)
	p.up()
	t.Cleanup(p.kill)
	if err := os.Remove(filepath.Join(p.dir, "store", "data", "LOCK")); err != nil {
		t.Fatal(err)
	}
	code, said := p.refused()
	for _, want := range []string{"is in use by another server", "process " + strconv.Itoa(p.cmd.Process.Pid) + " on host", "since 20"} {
		if code != 4 || !strings.Contains(said, want) {
			t.Errorf("the second server has exit code %d, or its output does not contain %q: %s", code, want, said)
		}
	}
	p.kill()
	p.up() // the lock of a killed server does not last
}

// TestStoreWithoutDatabaseIsDamaged: a new database in its place would hide that all accepted work is
// lost.
func TestStoreWithoutDatabaseIsDamaged(t *testing.T) {
	t.Parallel()
	p := bare(t)
	p.up()
	p.kill()
	dir := filepath.Join(p.dir, "store")
	if err := errors.Join(os.RemoveAll(filepath.Join(dir, "data")), os.Remove(filepath.Join(dir, "synced"))); err != nil {
		t.Fatal(err)
	}
	for _, flags := range [][]string{nil, {"--accept-copy"}} {
		if code, said := p.refused(flags...); code != 13 || !strings.Contains(said, "is missing") || !strings.Contains(said, "from a backup") {
			t.Errorf("up %v has exit code %d: %s", flags, code, said)
		}
		for _, name := range []string{"data", "synced"} {
			if _, err := os.Stat(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("up %v has created %s: %v", flags, name, err)
			}
		}
	}
}

// TestDamagedStoreExitCode: a supervisor must be able to tell that a restart does not help.
func TestDamagedStoreExitCode(t *testing.T) {
	t.Parallel()
	p := bare(t)
	p.up()
	p.kill()
	logs, err := filepath.Glob(filepath.Join(p.dir, "store", "data", "*.log"))
	if err != nil || len(logs) == 0 {
		t.Fatalf("there are no logs: %v", err)
	}
	for _, log := range logs {
		if err := os.Truncate(log, 1); err != nil {
			t.Fatal(err)
		}
	}
	if code, said := p.refused(); code != 13 || !strings.Contains(said, "restore") || !strings.Contains(said, logs[0]) {
		t.Errorf("exit code %d: %s", code, said)
	}
}
