package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
)

// TestConnectionsDoNotStarveTheStore starts a real server with a low limit of open files, opens many idle connections,
// and starts runs that make a call each.
func TestConnectionsDoNotStarveTheStore(t *testing.T) {
	t.Parallel()
	dir, err := built()
	if err != nil {
		t.Fatal(err)
	}
	var posts atomic.Int32
	web := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { posts.Add(1) }))
	t.Cleanup(web.Close)
	p := &process{t: t, binary: filepath.Join(dir, "flawless"), dir: t.TempDir(), port: freePort(t)}
	if err := shareCompiled(dir, p.dir); err != nil {
		t.Fatal(err)
	}
	said := newLines()
	// The shell also lowers the hard limit, so that the server cannot raise it again.
	address := "127.0.0.1:" + strconv.Itoa(p.port)
	p.cmd = exec.Command("sh", "-c", `ulimit -n 128 && exec "$0" "$@"`, p.binary, "--working-dir", p.dir, "--socket", address, "up")
	p.cmd.Env = append(p.cmd.Environ(), "FLAWLESS_TOKEN=")
	p.cmd.Stdout, p.cmd.Stderr = said, said
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	said.wait(t, "is up")

	refused := 0
	for range 300 {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
	}
	for range 5 {
		r, err := http.Get("http://" + address + "/api/v1/health")
		if err != nil {
			refused++ // closed at once
			continue
		}
		if r.StatusCode == http.StatusServiceUnavailable {
			refused++
		}
		_ = r.Body.Close()
	}
	if refused != 5 {
		t.Errorf("%d of 5 requests were refused while 300 connections were open", refused)
	}
	// Over QUIC all clients share one socket.
	c, err := client.New(client.Options{Socket: address, Certificate: filepath.Join(p.dir, "tls", "cert.pem"), Patience: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	bin, err := os.ReadFile(filepath.Join(dir, "guest.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.AddModule(t.Context(), "guest", bin, nil); err != nil {
		t.Fatal(err)
	}
	in, _ := json.Marshal(map[string]string{"url": web.URL})
	for i := range 40 {
		if _, _, err := c.Start(t.Context(), client.Start{Module: "guest", Workflow: "once", Input: in, ID: fmt.Sprint("run", i)}, false); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 40 {
		if r, err := c.Run(t.Context(), fmt.Sprint("run", i), true); err != nil || r.Status != flawless.Completed {
			t.Errorf("run %d: %+v, %v", i, r, err)
		}
	}
	if n := posts.Load(); n != 40 {
		t.Errorf("%d posts were seen, want 40", n)
	}
	if h, err := c.Health(t.Context()); err != nil || h.State != "ok" {
		t.Errorf("the health is %+v, %v", h, err)
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(said.String(), "too many open files") {
		t.Errorf("it ran out of descriptors: %s", said)
	}
}
