package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store/postgres/pgtest"
)

// TestStoreMovesToDatabaseAndBack moves a store with an open run from a working directory to PostgreSQL, where it goes on, and
// back to another directory, where the run ends.
func TestStoreMovesToDatabaseAndBack(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t, nil)
	p, inDatabase := database(t, s)
	address := s.URL(pgtest.WithPassword)
	copyTo := []string{"store", "copy", "--from", p.dir, "--to", address, "--to-schema", "other"}
	says := func(code int, text string, args ...string) {
		t.Helper()
		if got, out := p.command(args...); got != code || !strings.Contains(out, text) {
			t.Errorf("%s: exit code %d, want %d with %q: %s", args, got, code, text, out)
		}
	}

	p.up()
	t.Cleanup(func() { p.kill() })
	c := p.connect()
	obeying(t, c, "goes-on")
	c.Close()
	says(4, "in use", copyTo...)
	p.kill()
	says(0, "all compared", copyTo...)
	says(4, "complete already", copyTo...)
	says(4, "was moved to database", "up")
	says(4, "complete", append(copyTo, "--cancel")...)

	source := p.dir
	p.dir = t.TempDir()
	p.up(inDatabase...)
	isWaiting(t, p, "goes-on")
	p.kill()
	back := filepath.Join(t.TempDir(), "back")
	says(4, "not empty", "store", "copy", "--from", address, "--from-schema", "other", "--to", address, "--to-schema", "other")
	says(0, `"compared"`, "store", "copy", "--from", address, "--from-schema", "other", "--to", back, "--json")
	says(3, "no store", "store", "copy", "--from", filepath.Join(source, "nowhere"), "--to", back)
	p.dir = back
	p.up()
	isWaiting(t, p, "goes-on")
}

func isWaiting(t *testing.T, p *process, id string) {
	t.Helper()
	c := p.connect()
	defer c.Close()
	if r, err := c.Run(t.Context(), id, false); err != nil || r.Status != flawless.Waiting {
		t.Errorf("run %s is %s %s, %v", id, r.Status, r.Problem, err)
	}
}
