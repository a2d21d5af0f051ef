package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/flawless-engine/flawless/internal/rusttest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"flawless": func() {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
		stop()
		os.Exit(code)
	}})
}

// TestScripts runs the scripts in testdata/script. Each has its own server, and the guest of the engine tests in
// $GUEST.
func TestScripts(t *testing.T) {
	t.Parallel()
	dir, err := built()
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(e *testscript.Env) error {
			port := strconv.Itoa(freePort(t))
			e.Setenv("GUEST", filepath.Join(dir, "guest.wasm"))
			e.Setenv("PORT", port)
			e.Setenv("FLAWLESS_SOCKET", "127.0.0.1:"+port)
			e.Setenv("FLAWLESS_WORKING_DIR", filepath.Join(e.WorkDir, "data"))
			e.Setenv("HOME", e.WorkDir)
			if err := shareCompiled(dir, filepath.Join(e.WorkDir, "data")); err != nil {
				return err
			}
			outside := newHeld()
			e.Values[outsideKey{}] = outside
			e.Defer(outside.close)
			for _, name := range []string{"PATH", "GOPATH", "GOMODCACHE", "GOFLAGS", "GOPROXY"} {
				if v := os.Getenv(name); v != "" && name != "PATH" {
					e.Setenv(name, v)
				}
			}
			cache, err := os.UserCacheDir()
			if err == nil {
				e.Setenv("GOCACHE", filepath.Join(cache, "go-build"))
			}
			return forCargo(e)
		},
		Condition: func(name string) (bool, error) {
			if name != "rust" {
				return false, fmt.Errorf("unknown condition %q", name)
			}
			return rusttest.Needs("rust") == nil, nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){"ready": ready, "exitcode": exitCode, "outside": outsideCommand, "undecided": undecided, "soon": soon, "settle": settle},
	})
}

// forCargo sets the directories of cargo, which scripts with another HOME would not find.
func forCargo(e *testscript.Env) error {
	home, err := os.UserHomeDir()
	if err != nil {
		return err
	}
	for name, dir := range map[string]string{"CARGO_HOME": ".cargo", "RUSTUP_HOME": ".rustup"} {
		if v := os.Getenv(name); v != "" {
			e.Setenv(name, v)
		} else {
			e.Setenv(name, filepath.Join(home, dir))
		}
	}
	repo, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		return err
	}
	e.Setenv("REPO", repo)
	env, err := rusttest.Environment()
	e.Vars = append(e.Vars, env...)
	return err
}

// ready waits until the server answers.
func ready(ts *testscript.TestScript, _ bool, _ []string) {
	for range 600 {
		if ts.Exec("flawless", "module", "list") == nil {
			return
		}
		<-time.After(50 * time.Millisecond)
	}
	ts.Fatalf("the server does not start")
}

// soon runs flawless until its output matches: soon PATTERN ARGS...
func soon(ts *testscript.TestScript, _ bool, args []string) {
	want := regexp.MustCompile(args[0])
	for range 400 {
		if ts.Exec("flawless", args[1:]...) == nil && want.MatchString(ts.ReadFile("stdout")) {
			return
		}
		<-time.After(50 * time.Millisecond)
	}
	ts.Fatalf("the output never matches %s", want)
}

// settle settles the promise of a run: settle RUN ARGS...
func settle(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(ts.Exec("flawless", "workflow", "promise", "list", args[0], "--json"))
	var open []struct{ Token string }
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &open))
	if len(open) != 1 {
		ts.Fatalf("run %s has %d promises", args[0], len(open))
	}
	ts.Check(ts.Exec("flawless", append([]string{"workflow", "promise", "settle", open[0].Token}, args[1:]...)...))
}

// exitCode runs flawless and checks its exit code: exitcode N ARGS...
func exitCode(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec("flawless", args[1:]...); err != nil {
		var exit interface{ ExitCode() int }
		if e, ok := err.(interface{ ExitCode() int }); ok {
			exit = e
		}
		if exit == nil {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// undecided waits until N runs need a decision: undecided N.
func undecided(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	for range 600 {
		ts.Check(ts.Exec("flawless", "workflow", "list", "--status", "unresolved", "--json"))
		if strings.Count(ts.ReadFile("stdout"), `"status": "unresolved"`) == n {
			return
		}
		<-time.After(50 * time.Millisecond)
	}
	ts.Fatalf("timed out waiting for %d runs that need a decision", n)
}
