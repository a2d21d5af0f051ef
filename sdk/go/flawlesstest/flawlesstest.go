//go:build !wasip1

// Package flawlesstest tests workflows: it runs a compiled workflow in go test, without server,
// network or waiting.
//
// Requests of the workflow, to whatever host, are answered by an http.Handler of the test; a year of
// sleeping passes in a moment; the same workflow and input draw the same randomness. A workflow can be
// killed at every point of its life, and a new version be tried on exported runs.
//
// The package drives the command `flawless`, which it finds by its path in $FLAWLESS_BIN, or else in PATH, as a
// process of its own, so that this module needs none of what an engine is made of. It is not there in guests.
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

// Test is a workflow and its outside.
type Test struct {
	// Module is a file with the compiled module, or the folder of the project, which is built; ""
	// is the folder of the test.
	Module   string
	Workflow string
	Input    any          // becomes JSON
	Outside  http.Handler // answers every request: Host is the one asked for; nil answers 404
	Start    time.Time    // of the run; zero is 2026-01-01T00:00:00Z
	// Secrets are the values of those that the workflow names with flawless.Secret, by name. The outside gets
	// them, from whatever host it is asked; results have the names in their place.
	Secrets map[string]string
}

// Result is what came of a workflow.
type Result struct {
	Status   string          // completed, failed, cancelled
	Output   json.RawMessage // JSON, where it completed
	Failure  *Failure        // where it did not
	Data     json.RawMessage // that it published last
	Requests []Request       // that the outside saw, in order
	Lines    []Line          // that it logged
	Virtual  time.Duration   // that passed for it
}

// Failure is why a workflow did not complete.
type Failure struct{ Kind, Message, Stack string }

// Request is one that the outside saw.
type Request struct {
	Method, URL, Body string
	Key               string `json:"idempotency_key"`
	Status            int    // of the response
	Response          string // its body
}

// Line is a line that the workflow logged.
type Line struct {
	Level, Text string
	Fields      json.RawMessage
}

// Into decodes the output, and ends the test where that cannot be or the workflow did not complete.
func (r *Result) Into(t testing.TB, out any) {
	t.Helper()
	if r.Status != "completed" {
		t.Fatalf("flawlesstest: the workflow is %s: %+v", r.Status, r.Failure)
	}
	if err := json.Unmarshal(r.Output, out); err != nil {
		t.Fatalf("flawlesstest: the output %s is not as it should be: %v", r.Output, err)
	}
}

// Run runs the workflow to its end. A workflow that fails is a result; the test ends where it can
// never end, or could not begin.
func Run(t testing.TB, w Test) *Result {
	t.Helper()
	var out rehearsed
	if err := w.drive(t, &out); err != nil {
		t.Fatalf("flawlesstest: %v", err)
	}
	return out.result()
}

// CrashEverywhere runs the workflow to its end, and then again and again, each time killing the engine
// before or after another one of its writes and starting it anew. The test fails where the outside saw a
// request that it should not have seen, or did not see one, or the run ended otherwise. It returns what
// came of the life that was not cut short.
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

// Check replays exported runs (flawless workflow export), files or folders with *.bundle files, with a
// module, and fails the test where one asks for something else than its log has. module is as in
// [Test.Module].
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

// rehearsed is what `flawless test --json` prints.
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

// The exit codes of the command that are a result: a run that did not complete, a crash that made a
// difference.
const (
	exitNotCompleted = 5
	exitDiverged     = 9
)

// drive runs the command and decodes what it prints.
func (w Test) drive(t testing.TB, out any, flags ...string) error {
	t.Helper()
	file, err := built(t, w.Module)
	if err != nil {
		return err
	}
	input, err := json.Marshal(w.Input)
	if err != nil {
		return fmt.Errorf("the input cannot be JSON: %w", err)
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
			return fmt.Errorf("handing over secret %s: %w", name, err)
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
		return fmt.Errorf("the command flawless printed something else than it should: %w", err)
	}
	return nil
}

// binary is the variable with the path of the command flawless.
const binary = "FLAWLESS_BIN"

// command runs flawless and returns what it printed.
func command(ctx context.Context, args ...string) ([]byte, error) {
	name := os.Getenv(binary)
	switch {
	case strings.Contains(name, "://"):
		return nil, fmt.Errorf("$%s is %q, a URL; give the path of the command flawless, or leave it out to take the one in PATH (tests need no server; its URL is $FLAWLESS_URL)", binary, name)
	case name == "":
		var err error
		if name, err = exec.LookPath("flawless"); err != nil {
			return nil, fmt.Errorf("the command flawless is not there; install it, or give its path in $%s", binary)
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

// built returns the file of a module, which is built where a folder is named.
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
