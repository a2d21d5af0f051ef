package listen

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/flawless-engine/flawless"
)

// TestServesWithoutUDP: where the system has no UDP, or nobody wants it, HTTP/1.1 and HTTP/2 are served.
func TestServesWithoutUDP(t *testing.T) {
	t.Parallel()
	broken := errors.New("no udp here")
	for _, row := range []struct {
		name  string
		noUDP bool
		open  func(network, address string) (net.PacketConn, error)
		warns bool
	}{
		{"the system has none", false, func(string, string) (net.PacketConn, error) { return nil, broken }, true},
		{"not wanted", true, func(string, string) (net.PacketConn, error) { panic("opened") }, false},
	} {
		var log bytes.Buffer
		l, err := Listen(Address{Socket: "127.0.0.1:0", Dir: t.TempDir(), NoUDP: row.noUDP, listenPacket: row.open}, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatalf("%s: %v", row.name, err)
		}
		if l.UDP() != "" || strings.Contains(log.String(), "no udp here") != row.warns {
			t.Errorf("%s: UDP at %q, log %q", row.name, l.UDP(), log.String())
		}
		l.Serve(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "served") }))
		resp, err := http.Get("http://" + l.TCP() + "/")
		if err != nil {
			t.Fatalf("%s: %v", row.name, err)
		}
		b, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || string(b) != "served" {
			t.Errorf("%s: %q, %v", row.name, b, err)
		}
		if err := l.Close(context.Background()); err != nil {
			t.Errorf("%s: %v", row.name, err)
		}
	}
}

func TestUDPSocketInUseIsRefused(t *testing.T) {
	t.Parallel()
	other, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := Listen(Address{Socket: other.LocalAddr().String(), Dir: t.TempDir()}, slog.New(slog.DiscardHandler)); !errors.Is(err, flawless.Conflict) {
		t.Errorf("got %v", err)
	}
}
