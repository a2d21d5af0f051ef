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

// TestCopyNeedsNoRing: a server is killed in the middle of a call, and its store is copied without the ring. The log has the
// beginning of the call, so it is in doubt at the target, and nobody makes it again.
func TestCopyNeedsNoRing(t *testing.T) {
	t.Parallel()
	rows := []string{"from a directory to a database", "from a database to a directory", "from a database to another one"}
	if testing.Short() {
		rows = rows[:1]
	}
	for _, row := range rows {
		t.Run(row, func(t *testing.T) {
			t.Parallel()
			s, web := pgtest.Start(t, nil), newOutside(t)
			defer close(web.slow)
			p, inDatabase := database(t, s)
			address := s.URL(pgtest.WithPassword)
			from, to, flags := []string{"--from", p.dir}, []string{"--to", address, "--to-schema", "other"}, inDatabase
			if row != "from a directory to a database" {
				from, to, flags = []string{"--from", address, "--from-schema", "other"}, []string{"--to", filepath.Join(t.TempDir(), "to")}, nil
				if row == "from a database to another one" {
					to, flags = []string{"--to", address, "--to-schema", "another"}, []string{"--store", address, "--store-schema", "another", "--lease", "3s", "--name", "a"}
				}
				p.up(inDatabase...)
			} else {
				p.up()
			}
			t.Cleanup(func() { p.kill() })
			c := p.connect()
			p.addGuest(c)
			mustWant(t, c, "answered", op{"Post": web.URL + "/answered"}, op{"Receive": "go"})
			mustWant(t, c, "in-flight", op{"Post": web.URL + "/slow"}, op{"Receive": "go"})
			web.wait("/slow")
			mustTurn(t, c, "answered", 2)
			c.Close()
			p.kill()
			if code, out := p.command(append(append([]string{"store", "copy"}, from...), to...)...); code != 0 {
				t.Fatalf("store copy ends with %d: %s", code, out)
			}
			if p.dir = t.TempDir(); flags == nil {
				p.dir = to[1]
			}
			p.up(flags...)
			c = p.connect()
			defer c.Close()
			mustDoubt(t, c, "in-flight", "POST "+web.URL+"/slow", "the engine stopped after the call began")
			mustBe(t, c, "answered", flawless.Waiting)
			if h, err := c.History(t.Context()); err != nil || h.Open || len(h.Rings) > 0 {
				t.Errorf("the history is %+v, %v", h, err)
			}
			if nodes, err := c.Nodes(t.Context()); err != nil || len(nodes) > 1 { // those of the source own nothing
				t.Errorf("the nodes are %+v, %v", nodes, err)
			}
			goOn(t, c, "answered")
			mustBe(t, c, "answered", flawless.Completed)
			web.once(t, "/answered", "/slow")
		})
	}
}

// TestCopyAfterFailoverIsRefused: the database has another primary since its server was killed. Only a server knows whether
// calls are lost.
func TestCopyAfterFailoverIsRefused(t *testing.T) {
	t.Parallel()
	s, web := pgtest.Start(t, nil), newOutside(t)
	p, flags := database(t, s)
	b := s.Standby(t)
	p.up(flags...)
	t.Cleanup(func() { p.kill() })
	c := p.connect()
	p.addGuest(c)
	mustWant(t, c, "run", op{"Post": web.URL + "/1"}, op{"Receive": "go"})
	web.wait("/1")
	mustTurn(t, c, "run", 2) // the answer is in the log
	c.Close()
	p.kill()
	s.Stop(t, pgtest.Fast)
	b.Promote(t)
	address := b.URL(pgtest.WithPassword)
	to := filepath.Join(t.TempDir(), "to")
	copying := []string{"store", "copy", "--from", address, "--from-schema", "other", "--to", to}
	if code, out := p.command(copying...); code != 4 || !strings.Contains(out, "may lack its newest calls") {
		t.Errorf("store copy ends with %d: %s", code, out)
	}
	p.up("--store", address, "--store-schema", "other", "--lease", "3s", "--name", "a") // it has the ring, and nothing is lost
	isWaiting(t, p, "run")
	p.kill()
	if code, out := p.command(copying...); code != 0 {
		t.Errorf("store copy ends with %d: %s", code, out)
	}
	web.once(t, "/1")
}
