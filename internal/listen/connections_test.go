package listen

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/reply"
)

// TestConnectionAboveLimitIsRefused with a reason, and accepted again once another is closed.
func TestConnectionAboveLimitIsRefused(t *testing.T) {
	t.Parallel()
	l, err := Listen(Address{Socket: "127.0.0.1:0", Dir: t.TempDir(), MaxConnections: 5}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	l.Serve(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "served") }))
	t.Cleanup(func() { _ = l.Close(context.Background()) })
	get := func() (int, string, error) {
		c := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
		r, err := c.Get("http://" + l.TCP() + "/")
		if err != nil {
			return 0, "", err
		}
		defer r.Body.Close()
		b, err := io.ReadAll(r.Body)
		return r.StatusCode, string(b), err
	}
	var idle []net.Conn
	for range 4 {
		c, err := net.Dial("tcp", l.TCP())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		idle = append(idle, c)
	}
	explained := 0
	for range 20 { // one at a time gets an answer, the others are closed
		code, text, err := get()
		var p reply.Problem
		switch {
		case err != nil:
		case code != http.StatusServiceUnavailable || json.Unmarshal([]byte(text), &p) != nil || p.Code != flawless.Stopping:
			t.Fatalf("above the limit: %d, %q", code, text)
		default:
			explained++
		}
	}
	if explained == 0 {
		t.Error("no client got a reason")
	}
	_ = idle[0].Close()
	late := time.After(20 * time.Second)
	for {
		code, text, err := get()
		if err == nil && code == http.StatusOK && text == "served" {
			return
		}
		select {
		case <-late:
			t.Fatalf("after one was closed: %d, %q, %v", code, text, err)
		default:
		}
	}
}
