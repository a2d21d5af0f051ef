package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
)

// stopping is a real server with a call in flight that is shutting down after SIGTERM.
type stopping struct {
	*process
	said    *lines
	outside *held
}

func newStopping(t *testing.T, drain time.Duration) *stopping {
	t.Helper()
	dir, err := built()
	if err != nil {
		t.Fatal(err)
	}
	s := &stopping{process: &process{t: t, binary: filepath.Join(dir, "flawless"), dir: t.TempDir(), port: freePort(t)}, outside: newHeld()}
	t.Cleanup(s.outside.close)
	if err := shareCompiled(dir, s.dir); err != nil {
		t.Fatal(err)
	}
	s.said = s.up("--drain", drain.String())
	t.Cleanup(s.kill)
	bin, err := os.ReadFile(filepath.Join(dir, "guest.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	c := s.connect()
	defer c.Close()
	if _, _, err := c.AddModule(t.Context(), "guest", bin, nil); err != nil {
		t.Fatal(err)
	}
	in, _ := json.Marshal(map[string]string{"url": s.outside.URL})
	if _, _, err := c.Start(t.Context(), client.Start{Module: "guest", Workflow: "once", Input: in, ID: "run"}, false); err != nil {
		t.Fatal(err)
	}
	if err := s.outside.wait(1); err != nil {
		t.Fatal(err)
	}
	s.signal(syscall.SIGTERM)
	s.said.wait(t, "stopping: no new work")
	return s
}

func (s *stopping) signal(what os.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(what); err != nil {
		s.t.Fatal(err)
	}
}

// exit waits for the server and returns its exit code.
func (s *stopping) exit() int {
	s.t.Helper()
	done := make(chan error, 1)
	go func() { done <- s.cmd.Wait() }()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		s.t.Fatalf("the server does not stop; it printed %s", s.said)
	}
	return s.cmd.ProcessState.ExitCode()
}

// after restarts the server and returns the run once it has ended or needs a decision.
func (s *stopping) after() flawless.Run {
	s.t.Helper()
	s.up()
	c := s.connect()
	defer c.Close()
	r, err := c.Run(s.t.Context(), "run", true)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

func TestShutdownWaitsForCallsInFlight(t *testing.T) {
	t.Parallel()
	s := newStopping(t, time.Minute)
	c := s.connect()
	defer c.Close()
	_, _, err := c.Start(context.Background(), client.Start{Module: "guest", Workflow: "empty"}, false)
	if flawless.CodeOf(err) != flawless.Stopping {
		t.Errorf("start during the shutdown: %v", err)
	}
	if h, err := c.Health(context.Background()); err != nil || h.State != "stopping" {
		t.Errorf("the health is %+v, %v", h, err)
	}
	s.outside.release()
	if code := s.exit(); code != 0 {
		t.Errorf("exit code %d; it printed %s", code, s.said)
	}
	if r := s.after(); r.Status != flawless.Completed || string(r.Output) != `"did it"` {
		t.Errorf("the run is %+v", r)
	}
}

func TestSecondSignalStopsAtOnce(t *testing.T) {
	t.Parallel()
	s := newStopping(t, time.Minute)
	s.signal(syscall.SIGTERM)
	code := s.exit()
	if code == 0 || !strings.Contains(s.said.String(), "still in flight") {
		t.Errorf("exit code %d; it printed %s", code, s.said)
	}
	if r := s.after(); r.Status != flawless.Unresolved || len(r.Unresolved) != 1 || r.Unresolved[0].Reason == "" {
		t.Errorf("the run is %+v", r)
	}
}

func TestShutdownStopsAtDrainTimeout(t *testing.T) {
	t.Parallel()
	s := newStopping(t, 50*time.Millisecond)
	code := s.exit()
	if code == 0 || !strings.Contains(s.said.String(), "still in flight") {
		t.Errorf("exit code %d; it printed %s", code, s.said)
	}
	if r := s.after(); r.Status != flawless.Unresolved {
		t.Errorf("the run is %+v", r)
	}
}
