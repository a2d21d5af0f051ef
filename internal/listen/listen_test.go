package listen

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
)

func TestListenerReachesAddress(t *testing.T) {
	t.Parallel()
	at := func(s string) net.Addr { return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(s)) }
	interfaces, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range interfaces {
		if p, err := netip.ParsePrefix(a.String()); err == nil && !reaches(at("[::]:7"), netip.AddrPortFrom(p.Addr(), 7)) {
			t.Errorf("the address %s of an interface is not recognised", p)
		}
	}
	for _, row := range []struct {
		listener, to string
		want         bool
	}{
		{"127.0.0.1:7", "127.0.0.1:7", true},
		{"127.0.0.1:7", "127.0.0.1:8", false},
		{"127.0.0.1:7", "[::ffff:127.0.0.1]:7", true},
		{"127.0.0.1:7", "0.0.0.0:7", true},
		{"[::1]:7", "[::]:7", true},
		{"127.0.0.1:7", "127.0.0.2:7", false},
		{"0.0.0.0:7", "127.0.0.2:7", true},
		{"[::]:7", "[::1%lo]:7", true},
		{"[fe80::1%eth0]:7", "[fe80::1]:7", true},
		{"0.0.0.0:7", "192.0.2.1:7", false},
	} {
		if got := reaches(at(row.listener), netip.MustParseAddrPort(row.to)); got != row.want {
			t.Errorf("%s reaches a server at %s: %v", row.to, row.listener, got)
		}
	}
}

// TestRunCannotCallItsServer tries every form of the addresses of a server.
// TestReachableAddresses: other nodes keep their runs from these addresses.
func TestReachableAddresses(t *testing.T) {
	t.Parallel()
	for _, socket := range []string{"127.0.0.1:0", "0.0.0.0:0"} {
		l, err := Listen(Address{Socket: socket, Dir: t.TempDir()}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close(context.Background())
		for _, own := range []string{l.TCP(), l.UDP()} {
			_, port, _ := net.SplitHostPort(own)
			if all := l.Reachable(); !slices.Contains(all, "127.0.0.1:"+port) {
				t.Errorf("%s is reachable at %q, want 127.0.0.1:%s among them", socket, all, port)
			}
		}
		for _, a := range l.Reachable() {
			at, err := netip.ParseAddrPort(a)
			if err != nil || at.Addr().IsUnspecified() || l.NotSelf("some.example", at) == nil {
				t.Errorf("%s is said to be reachable at %s: %v", socket, a, err)
			}
		}
	}
}

func TestRunCannotCallItsServer(t *testing.T) {
	t.Parallel()
	outside := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if to := r.URL.Query().Get("to"); to != "" {
			http.Redirect(w, r, to, http.StatusTemporaryRedirect)
		}
	}))
	defer outside.Close()
	for _, socket := range []string{"127.0.0.1:0", "0.0.0.0:0"} {
		l, err := Listen(Address{Socket: socket, Dir: t.TempDir()}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		l.Serve(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a run has called its server") }))
		_, port, _ := net.SplitHostPort(l.TCP())
		c := effect.NewClient(effect.ClientOptions{Policy: l.NotSelf}, nil)
		call := func(url string) effect.Result {
			head, _ := json.Marshal(map[string]any{"url": url})
			return c.Perform(t.Context(), effect.Attempt{Run: "r", N: 1, Call: flawless.Call{N: 1, Kind: effect.HTTP, Head: head}})
		}
		hosts := []string{"127.0.0.1", "localhost", "LOCALHOST", "[::ffff:127.0.0.1]", "0.0.0.0", "[::ffff:0.0.0.0]"}
		if l.tcp.Addr().(*net.TCPAddr).IP.IsUnspecified() {
			hosts = append(hosts, "127.0.0.2", "[::1]")
		}
		for _, host := range hosts {
			for _, url := range []string{"http://" + host + ":" + port + "/api/v1/runs", "https://" + host + ":" + port} {
				r := call(url)
				if r.Outcome != effect.NotSent || !strings.Contains(string(r.Answer.Head), `"reason":"policy"`) || !strings.Contains(r.Text, "--allow-self-calls") {
					t.Errorf("%s, of a server at %s: %+v %s", url, socket, r, r.Answer.Head)
				}
			}
			if r := call(outside.URL + "?to=http://" + host + ":" + port); !strings.Contains(r.Text, "--allow-self-calls") {
				t.Errorf("a redirect to %s, of a server at %s: %+v", host, socket, r)
			}
		}
		if r := call(outside.URL); r.Outcome != effect.Answered {
			t.Errorf("another server on this machine: %+v", r)
		}
		c.Close()
		_ = l.Close(context.Background())
	}
}
