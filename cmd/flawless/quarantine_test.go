//go:build unix

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

// TestQuarantineByMemoryLimitEndsWithIt restarts a server with a lower --memory-pages than its runs need: those are
// quarantined, with a problem that names the flag, and continue by themselves once a server has enough again.
func TestQuarantineByMemoryLimitEndsWithIt(t *testing.T) {
	t.Parallel()
	p := bare(t)
	p.up()
	t.Cleanup(p.kill)
	bin, err := os.ReadFile(filepath.Join(filepath.Dir(p.binary), "guest.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	c := p.connect()
	if _, _, err := c.AddModule(t.Context(), "guest", bin, nil); err != nil {
		t.Fatal(err)
	}
	until := func(id string, done func(r flawless.Run) bool) flawless.Run {
		t.Helper()
		var r flawless.Run
		for late, tick := time.After(time.Minute), time.Tick(20*time.Millisecond); ; {
			if r, err = p.connect().Run(t.Context(), id, false); err != nil {
				t.Fatal(err)
			}
			if done(r) {
				return r
			}
			select {
			case <-tick:
			case <-late:
				t.Fatalf("run %s is %+v", id, r)
			}
		}
	}
	for id, size := range map[string]string{"small": "1", "large": "150"} {
		if _, _, err := c.Start(t.Context(), client.Start{Module: "guest", Workflow: "swell", ID: id, Input: []byte(size)}, false); err != nil {
			t.Fatal(err)
		}
		until(id, func(r flawless.Run) bool { return r.Status == flawless.Waiting })
	}
	p.kill()

	p.up("--memory-pages", "1600") // 100 MiB
	for _, id := range []string{"small", "large"} {
		if _, err := p.connect().Send(t.Context(), id, flawless.Message{Type: "shrink"}); err != nil {
			t.Fatal(err)
		}
	}
	if r := until("small", func(r flawless.Run) bool { return r.Status.Ended() }); r.Status != flawless.Completed {
		t.Errorf("the small run is %+v", r)
	}
	r := until("large", func(r flawless.Run) bool { return r.Problem != "" })
	if r.Status != flawless.Unresolved || !strings.Contains(r.Problem, "start it with a higher --memory-pages; the run is tried again") {
		t.Errorf("with 100 MiB it is %s: %s", r.Status, r.Problem)
	}
	p.kill()

	p.up("--memory-pages", "16") // no guest of the module begins with so little
	r = until("large", func(r flawless.Run) bool { return strings.Contains(r.Problem, "begins with") })
	if r.Status != flawless.Unresolved || !strings.Contains(r.Problem, "raise it with --memory-pages; the run is tried again") {
		t.Errorf("with 1 MiB it is %s: %s", r.Status, r.Problem)
	}
	p.kill()

	p.up()
	if r, err = p.connect().Run(t.Context(), "large", true); err != nil || r.Status != flawless.Completed || string(r.Output) != "157286400" || r.Problem != "" {
		t.Errorf("with enough memory it is %+v, %v", r, err)
	}
}
