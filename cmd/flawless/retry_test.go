package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
)

// TestRefusedCallIsRetriedAfterRestart: a run whose call is refused completes by itself once the port is open, although
// the server is killed in between.
func TestRefusedCallIsRetriedAfterRestart(t *testing.T) {
	t.Parallel()
	dir, err := built()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, binary: filepath.Join(dir, "flawless"), dir: t.TempDir(), port: freePort(t)}
	if err := shareCompiled(dir, p.dir); err != nil {
		t.Fatal(err)
	}
	p.up()
	c := p.connect()
	bin, err := os.ReadFile(filepath.Join(dir, "guest.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.AddModule(t.Context(), "guest", bin, nil); err != nil {
		t.Fatal(err)
	}
	port := strconv.Itoa(freePort(t))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, _, err := c.Start(ctx, client.Start{Module: "guest", Workflow: "once", ID: "one", Input: []byte(`{"url":"http://127.0.0.1:` + port + `"}`)}, false); err != nil {
		t.Fatal(err)
	}
	retrying := false
	for rec, err := range c.Follow(ctx, "one", 0) {
		if err != nil {
			t.Fatal(err)
		}
		retrying = slices.ContainsFunc(rec.Entries, func(e flawless.Entry) bool { return e.Attempt != nil && e.Attempt.Next != 0 })
		if retrying {
			break
		}
	}
	if runs, _, err := c.Runs(ctx, flawless.Filter{Retrying: true}); !retrying || err != nil || len(runs) != 1 {
		t.Fatalf("the run is not retrying: %+v, %v", runs, err)
	}
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
	l, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "here I am") })}
	go func() { _ = server.Serve(l) }()
	defer server.Close()
	p.up()
	defer func() { _ = p.cmd.Process.Kill(); _ = p.cmd.Wait() }()
	r, err := p.connect().Run(ctx, "one", true)
	if err != nil || r.Status != flawless.Completed || string(r.Output) != `"here I am"` {
		t.Errorf("the run is %+v, %v", r, err)
	}
}
