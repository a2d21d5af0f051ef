package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flawless-engine/flawless/internal/workdir"
)

// TestServerIsFoundByItsDirectory runs two servers on free ports. Commands get only the directory, and never reach
// the wrong server, even after a crash or if another server has taken over the address.
func TestServerIsFoundByItsDirectory(t *testing.T) {
	dir, err := built()
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	t.Setenv("FLAWLESS_SOCKET", "")
	t.Setenv("FLAWLESS_WORKING_DIR", "")
	t.Setenv("FLAWLESS_TOKEN", "")
	t.Setenv("HOME", home)
	command := func(args ...string) (int, string) {
		var out bytes.Buffer
		code := run(t.Context(), args, strings.NewReader(""), &out, &out)
		return code, out.String()
	}
	storeOf := func(args ...string) string {
		t.Helper()
		code, text := command(append(args, "version", "--json")...)
		var v struct{ Store string }
		if err := json.Unmarshal([]byte(text), &v); code != 0 || err != nil {
			t.Fatalf("exit code %d, %v: %s", code, err, text)
		}
		return v.Store
	}
	a := &process{t: t, binary: filepath.Join(dir, "flawless"), dir: filepath.Join(home, ".flawless")}
	b := &process{t: t, binary: a.binary, dir: filepath.Join(t.TempDir(), "b")}
	for _, p := range []*process{a, b} { // port 0: the system chooses
		p.up()
		t.Cleanup(func() { _ = p.cmd.Process.Kill(); _ = p.cmd.Wait() })
	}
	first, second := storeOf("--working-dir", a.dir), storeOf("--working-dir", b.dir)
	if first == "" || second == "" || first == second {
		t.Fatalf("the stores are %q and %q", first, second)
	}
	if got := storeOf(); got != first {
		t.Errorf("the default directory leads to store %q, want %q", got, first)
	}
	t.Setenv("FLAWLESS_WORKING_DIR", b.dir)
	if got := storeOf(); got != second {
		t.Errorf("the environment leads to store %q, want %q", got, second)
	}
	where, err := workdir.FindServer(b.dir)
	if err != nil || where == nil {
		t.Fatal(where, err)
	}
	usual, err := workdir.FindServer(a.dir)
	if err != nil || usual == nil {
		t.Fatal(usual, err)
	}
	port := func(s *workdir.Server) string { return "--port=" + strings.TrimPrefix(s.TCP, "127.0.0.1:") }
	for _, row := range []struct {
		what, envDir, envSocket string
		flags                   []string
		want                    string // a store, or what the refusal says
	}{
		{"a directory by flag, an address by environment", "", where.UDP, []string{"--working-dir", a.dir}, first},
		{"an address by flag, a directory by environment", a.dir, "", []string{"--socket", where.UDP, port(where)}, second},
		{"a port by flag, an address by environment", "", where.UDP, []string{port(usual)}, first},
		{"both by environment", a.dir, where.UDP, []string{port(where)}, second},
		{"both by flag, of one server", "", "", []string{"--working-dir", b.dir, "--socket", where.UDP, port(where)}, second},
		{"both by flag, of two servers", "", "", []string{"--working-dir", a.dir, "--socket", where.UDP, port(where)}, "the directory has store " + first},
		{"a directory and a port by flag, of two servers", "", where.UDP, []string{"--working-dir", a.dir, port(where)}, "belong to different servers"},
		{"a directory without a store and a port by flag", "", "", []string{"--working-dir", t.TempDir(), port(where)}, "has no store"},
	} {
		t.Setenv("FLAWLESS_WORKING_DIR", row.envDir)
		t.Setenv("FLAWLESS_SOCKET", row.envSocket)
		code, text := command(append(row.flags, "version", "--json")...)
		if isStore := row.want == first || row.want == second; !strings.Contains(text, row.want) || isStore != (code == 0) || !isStore && code != 2 {
			t.Errorf("%s: exit code %d, %s, want %q", row.what, code, text, row.want)
		}
	}
	t.Setenv("FLAWLESS_WORKING_DIR", b.dir)
	t.Setenv("FLAWLESS_SOCKET", "")

	if err := a.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = a.cmd.Wait()
	wantNone := func(what, why string) {
		t.Helper()
		if code, text := command("--working-dir", a.dir, "workflow", "list"); code != 6 || !strings.Contains(text, why) {
			t.Errorf("%s: exit code %d, %s", what, code, text)
		}
	}
	wantNone("after a crash", "was killed")
	if _, err := workdir.Announce(a.dir, workdir.Server{Store: first, UDP: where.UDP, TCP: where.TCP}); err != nil {
		t.Fatal(err)
	}
	wantNone("with another server at its address", "this server has store "+second)
	t.Setenv("FLAWLESS_WORKING_DIR", "")
	if got := storeOf(); got == second { // the directory is not named, so the default address applies
		t.Errorf("a stale address leads to store %q", got)
	}

	if err := b.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := b.cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if code, text := command("--working-dir", b.dir, "workflow", "list"); code != 6 || !strings.Contains(text, "no server is running on "+b.dir) {
		t.Errorf("after a shutdown: exit code %d, %s", code, text)
	}
}
