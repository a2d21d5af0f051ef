//go:build unix

package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
)

// TestCopiedDirectoryIsHeld covers promise 8 with real servers: the directory of a server is copied while a call is
// in flight. The copy is refused. If it is accepted, it sends nothing until a run is resumed.
func TestCopiedDirectoryIsHeld(t *testing.T) {
	t.Parallel()
	dir, err := built()
	if err != nil {
		t.Fatal(err)
	}
	outside := newHeld()
	t.Cleanup(outside.close)
	binary := filepath.Join(dir, "flawless")
	p := &process{t: t, binary: binary, dir: filepath.Join(t.TempDir(), "data"), port: freePort(t)}
	if err := shareCompiled(dir, p.dir); err != nil {
		t.Fatal(err)
	}
	p.up()
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
	in, err := json.Marshal(map[string]any{"url": outside.URL, "steps": []map[string]any{{"sleep": 6_000_000}, {"post": "/later"}}})
	if err != nil {
		t.Fatal(err)
	}
	url, _ := json.Marshal(map[string]string{"url": outside.URL})
	for _, r := range []client.Start{{Workflow: "script", Input: in, ID: "sleeps"}, {Workflow: "once", Input: url, ID: "posts"}} {
		r.Module = "guest"
		if _, _, err := c.Start(t.Context(), r, false); err != nil {
			t.Fatal(err)
		}
	}
	if err := outside.wait(1); err != nil {
		t.Fatal(err)
	}
	q := &process{t: t, binary: binary, dir: filepath.Join(t.TempDir(), "copy"), port: freePort(t)}
	if err := shareCompiled(dir, q.dir); err != nil {
		t.Fatal(err)
	}
	// Stop the process while copying: files from different times would be a damaged store, not a copy.
	signal := func(s syscall.Signal) {
		if err := p.cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
	}
	signal(syscall.SIGSTOP)
	err = os.CopyFS(filepath.Join(q.dir, "store"), os.DirFS(filepath.Join(p.dir, "store")))
	signal(syscall.SIGCONT)
	if err != nil {
		t.Fatal(err)
	}
	outside.release()
	for _, id := range []string{"sleeps", "posts"} {
		if r, err := c.Run(t.Context(), id, true); err != nil || r.Status != flawless.Completed {
			t.Fatalf("in the original: %+v, %v", r, err)
		}
	}
	origin, err := c.Health(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	sent := func() int {
		outside.mu.Lock()
		defer outside.mu.Unlock()
		n := 0
		for _, times := range outside.seen {
			n += times
		}
		return n
	}
	if sent() != 2 {
		t.Fatalf("the original has sent %d requests, want 2", sent())
	}

	refused := exec.Command(binary, "--working-dir", q.dir, "--socket", "127.0.0.1:"+strconv.Itoa(q.port), "up")
	text, err := refused.CombinedOutput()
	if err == nil || refused.ProcessState.ExitCode() != 11 {
		t.Errorf("up of the copy returned %v: %s", err, text)
	}
	host, _ := os.Hostname()
	for _, want := range []string{origin.Store, "on host " + host, "start 1", "--accept-copy", "repeat it"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the refusal does not contain %q: %s", want, text)
		}
	}

	q.up("--accept-copy")
	t.Cleanup(func() { q.kill() })
	d := q.connect()
	defer d.Close()
	for restarted := range 2 {
		if h, err := d.Health(t.Context()); err != nil || h.Origin != origin.Store || h.Store == origin.Store || h.Start != uint64(2+restarted) {
			t.Errorf("the health of the copy is %+v, %v", h, err)
		}
		for id, want := range map[string]flawless.Status{"sleeps": flawless.Paused, "posts": flawless.Unresolved} {
			r, err := d.Run(t.Context(), id, false)
			if err != nil || r.Status != want || r.Pause == nil || !strings.Contains(r.Pause.Note, origin.Store) {
				t.Errorf("in the copy: %+v, %v", r, err)
			}
		}
		if restarted == 0 { // without the flag: it is no longer a copy
			q.kill()
			q.up()
		}
	}
	if sent() != 2 {
		t.Errorf("%d requests were sent, want the 2 of the original", sent())
	}
	resume := exec.Command(binary, "--working-dir", q.dir, "--tcp", "--port", strconv.Itoa(q.port), "--socket", "127.0.0.1:"+strconv.Itoa(q.port), "workflow", "resume", "--status", "paused", "--yes")
	if text, err := resume.CombinedOutput(); err != nil || !strings.Contains(string(text), "resume: 1 run\n") {
		t.Errorf("resuming: %v, %s", err, text)
	}
	if r, err := d.Run(t.Context(), "sleeps", true); err != nil || r.Status != flawless.Completed {
		t.Errorf("resumed: %+v, %v", r, err)
	}
	if sent() != 3 {
		t.Errorf("%d requests were sent, want one more", sent())
	}

	// A directory that was moved is accepted.
	p.kill()
	moved := p.dir + "-moved"
	if err := os.Rename(p.dir, moved); err != nil {
		t.Fatal(err)
	}
	p.dir = moved
	p.up()
	if h, err := c.Health(t.Context()); err != nil || h.Store != origin.Store || h.Origin != "" || h.Start != 2 {
		t.Errorf("the health after it was moved is %+v, %v", h, err)
	}
}
