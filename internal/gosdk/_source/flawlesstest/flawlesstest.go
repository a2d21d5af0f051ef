//go:build !wasip1

// Package flawlesstest tests workflows: it runs a compiled workflow in go test, without a server, a network or waiting.
//
// An http.Handler of the test answers all requests of the workflow, whatever their host. Sleeping for a year takes no
// time. Randomness depends only on the workflow and its input. You can kill the engine at every point in the life of a
// run, and check a new version of the code against exported runs.
//
// The package runs the command flawless as a separate process, from the path in $FLAWLESS_BIN or else from PATH, so
// that this module does not depend on the engine. It cannot be used in guests.
package flawlesstest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Test is a workflow and its environment.
type Test struct {
	// Module is the compiled module, or the directory of a project, which is built. "" means the directory of the test.
	Module   string
	Workflow string
	Input    any          // becomes JSON
	Outside  http.Handler // answers all requests; r.Host is the host that the workflow called; nil answers 404
	Start    time.Time    // start time of the run; zero means 2026-01-01T00:00:00Z
	// Secrets are the values for flawless.Secret, by name. Outside gets the values, whatever the host; results have
	// the names instead.
	Secrets map[string]string
}

// Result is the outcome of a run.
type Result struct {
	Status   string          // completed, failed, cancelled
	Output   json.RawMessage // set if it completed
	Failure  *Failure        // set if it did not complete
	Data     json.RawMessage // the data it published last
	Requests []Request       // requests that Outside got, in order
	Lines    []Line          // log lines
	Virtual  time.Duration   // time that passed for the run
}

// Failure is the reason why a run did not complete.
type Failure struct{ Kind, Message, Stack string }

// Request is a request that Outside got.
type Request struct {
	Method, URL, Body string
	Key               string `json:"idempotency_key"`
	Status            int    // of the response
	Response          string // its body
}

// Line is a log line of the run.
type Line struct {
	Level, Text string
	Fields      json.RawMessage
}

// Into decodes the output into out. It fails the test if the run did not complete or the output does not fit.
func (r *Result) Into(t testing.TB, out any) {
	t.Helper()
	if r.Status != "completed" {
		t.Fatalf("flawlesstest: the workflow is %s: %+v", r.Status, r.Failure)
	}
	if err := json.Unmarshal(r.Output, out); err != nil {
		t.Fatalf("flawlesstest: cannot decode the output %s: %v", r.Output, err)
	}
}

// Run runs the workflow to its end and returns the outcome. A failed run is a result like any other. The test fails
// if the run could not start or can never end.
func Run(t testing.TB, w Test) *Result {
	t.Helper()
	var out rehearsed
	if err := w.drive(t, &out); err != nil {
		t.Fatalf("flawlesstest: %v", err)
	}
	return out.result()
}

// CrashEverywhere runs the workflow to its end, and then again for each write of that run, killing the engine before
// or after that write and restarting it. The test fails if a run with a crash sends other requests or ends
// differently. It returns the outcome of the run without a crash.
func CrashEverywhere(t testing.TB, w Test) *Result {
	t.Helper()
	var out struct {
		Result  rehearsed
		Writes  int
		Crashes int
		Faults  []struct {
			Write int
			After bool
			Alive bool
			Text  string
		}
	}
	if err := w.drive(t, &out, "--crash-everywhere"); err != nil {
		t.Fatalf("flawlesstest: %v", err)
	}
	for _, f := range out.Faults {
		when := "before"
		if f.After {
			when = "after"
		}
		if f.Alive {
			t.Errorf("flawlesstest: not killed, as it made fewer than %d writes this time: %s", f.Write, f.Text)
			continue
		}
		t.Errorf("flawlesstest: killed %s write %d: %s", when, f.Write, f.Text)
	}
	t.Logf("flawlesstest: %s was killed %d times around its %d writes", w.Workflow, out.Crashes, out.Writes)
	return out.Result.result()
}

// Check replays exported runs (flawless workflow export) with a module, and fails the test if one makes calls that
// differ from its log. logs are files, or directories with *.bundle files; module is as in [Test.Module].
func Check(t testing.TB, module string, logs ...string) {
	t.Helper()
	file, err := built(t, module)
	if err != nil {
		t.Fatalf("flawlesstest: %v", err)
	}
	out, err := command(t.Context(), append([]string{"check", "--module", file}, logs...)...)
	if err != nil {
		t.Errorf("flawlesstest: %v\n%s", err, out)
	}
}

// rehearsed is the output of flawless test --json.
type rehearsed struct {
	Run struct {
		Status  string
		Output  json.RawMessage
		Failure *Failure
	}
	Log []struct {
		Entries []struct {
			Turn *struct{ Lines []Line }
		}
	}
	Data     json.RawMessage
	Requests []Request
	Virtual  int64 `json:"virtual_ns"`
}

func (r *rehearsed) result() *Result {
	out := &Result{Status: r.Run.Status, Output: r.Run.Output, Failure: r.Run.Failure, Data: r.Data, Requests: r.Requests, Virtual: time.Duration(r.Virtual)}
	for _, rec := range r.Log {
		for _, e := range rec.Entries {
			if e.Turn != nil {
				out.Lines = append(out.Lines, e.Turn.Lines...)
			}
		}
	}
	return out
}

// Exit codes of the command that report a result: a run did not complete, or a crash made a difference.
const (
	exitNotCompleted = 5
	exitDiverged     = 9
)

// drive runs the command and decodes its output.
func (w Test) drive(t testing.TB, out any, flags ...string) error {
	t.Helper()
	file, err := built(t, w.Module)
	if err != nil {
		return err
	}
	input, err := json.Marshal(w.Input)
	if err != nil {
		return fmt.Errorf("encoding the input: %w", err)
	}
	handler := w.Outside
	if handler == nil {
		handler = http.NotFoundHandler()
	}
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		r.URL.Scheme, r.URL.Host = r.Header.Get("X-Forwarded-Proto"), r.Host
		handler.ServeHTTP(rw, r)
	}))
	defer s.Close()
	args := append([]string{"test", file, w.Workflow, "--json", "--input", string(input), "--upstream", s.URL}, flags...)
	if !w.Start.IsZero() {
		args = append(args, "--start", w.Start.UTC().Format(time.RFC3339))
	}
	dir := t.TempDir()
	for name, value := range w.Secrets { // in files, as others can see arguments
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(value+"\n"), 0o600); err != nil {
			return fmt.Errorf("writing secret %s: %w", name, err)
		}
		args = append(args, "--secret", name+"=@"+file)
	}
	text, err := command(t.Context(), args...)
	var exit *exec.ExitError
	if errors.As(err, &exit) && (exit.ExitCode() == exitNotCompleted || exit.ExitCode() == exitDiverged) && len(text) > 0 {
		err = nil
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("decoding the output of the command flawless: %w", err)
	}
	return nil
}

// binary is the environment variable with the path of the command flawless.
const binary = "FLAWLESS_BIN"

// command runs flawless and returns its output.
func command(ctx context.Context, args ...string) ([]byte, error) {
	name := os.Getenv(binary)
	switch {
	case strings.Contains(name, "://"):
		return nil, fmt.Errorf("$%s is %q, a URL; set it to the path of the command flawless, or unset it to use the one in PATH (tests need no server; its URL is $FLAWLESS_URL)", binary, name)
	case name == "":
		var err error
		if name, err = exec.LookPath("flawless"); err != nil {
			return nil, fmt.Errorf("no command flawless in PATH; install it, or set $%s to its path", binary)
		}
	}
	cmd := exec.CommandContext(ctx, name, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return out.Bytes(), fmt.Errorf("%w: %s", err, strings.TrimSpace(errs.String()))
	}
	return out.Bytes(), nil
}

// built returns the file of a module, after building it if a directory was given.
func built(t testing.TB, module string) (string, error) {
	if module == "" {
		module = "."
	}
	info, err := os.Stat(module)
	if err != nil {
		return "", fmt.Errorf("looking for the module: %w", err)
	}
	if !info.IsDir() {
		return module, nil
	}
	file := filepath.Join(t.TempDir(), "module.wasm")
	if _, err := command(t.Context(), "build", module, "--output", file); err != nil {
		return "", fmt.Errorf("building the module in %s: %w", module, err)
	}
	return file, nil
}
