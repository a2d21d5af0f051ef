package effect_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/flawless-engine/flawless/internal/effect"
)

// tunnels is a proxy that connects every host to one server, and records its requests.
type tunnels struct {
	to string // host and port of the server

	mu    sync.Mutex
	asked []string // "CONNECT host:port authorization"
}

func (p *tunnels) serve(c net.Conn) {
	in := bufio.NewReader(c)
	r, err := http.ReadRequest(in)
	if err != nil {
		return
	}
	p.mu.Lock()
	p.asked = append(p.asked, strings.TrimSpace(r.Method+" "+r.Host+" "+r.Header.Get("Proxy-Authorization")))
	p.mu.Unlock()
	up, err := net.Dial("tcp", p.to)
	if err != nil {
		return
	}
	_, _ = io.WriteString(c, "HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n")
	go func() { _, _ = io.Copy(up, in); _ = up.(*net.TCPConn).CloseWrite() }()
	_, _ = io.Copy(c, up)
	_ = up.Close()
}

func (p *tunnels) seen() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.asked, ", ")
}

func TestCallsUseTheProxy(t *testing.T) {
	t.Parallel()
	hello := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Proxy-Authorization") != "" {
			t.Error("the server received the header for the proxy")
		}
		_, _ = io.WriteString(w, r.Proto+" "+r.Host+" "+r.URL.String())
	})
	plain := httptest.NewServer(hello)
	t.Cleanup(plain.Close)
	s, trust := secure(t, hello, true)
	trust.ServerName = "example.com"
	for _, row := range []struct {
		name, to, url, user, asked, body string
	}{
		{"http", plain.Listener.Addr().String(), "http://shop.test/a?b=c", "", "CONNECT shop.test:80", "HTTP/1.1 shop.test /a?b=c"},
		{"http with a port", plain.Listener.Addr().String(), "http://shop.test:8080/", "", "CONNECT shop.test:8080", "HTTP/1.1 shop.test:8080 /"},
		{"https and HTTP/2", s.Listener.Addr().String(), "https://shop.test/", "", "CONNECT shop.test:443", "HTTP/2.0 shop.test /"},
		{"user and password", plain.Listener.Addr().String(), "http://shop.test/", "ann:p%40ss@", "CONNECT shop.test:80 Basic YW5uOnBAc3M=", "HTTP/1.1 shop.test /"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			p := &tunnels{to: row.to}
			at := "http://" + row.user + rawServer(t, p.serve)
			c := newClient(t, effect.ClientOptions{TLS: trust, Proxy: effect.Proxy{URL: at, PlainURL: at}})
			for range 2 { // the second uses the open tunnel
				r := perform(t, c, call("x", "method", "POST", "url", row.url))
				if got := string(r.Answer.Body); r.Outcome != effect.Answered || got != row.body {
					t.Errorf("outcome %d %s, body %q, want %q", r.Outcome, r.Text, got, row.body)
				}
				if stagesOf(r) != "connected sent answered" {
					t.Errorf("stages %q", stagesOf(r))
				}
			}
			if got := p.seen(); got != row.asked {
				t.Errorf("the proxy was asked %q, want %q", got, row.asked)
			}
		})
	}
}

// TestFailedTunnelSendsNothing checks that a call may be retried if a proxy makes no tunnel, whatever it does instead.
func TestFailedTunnelSendsNothing(t *testing.T) {
	t.Parallel()
	says := func(s string) func(net.Conn) {
		return func(c net.Conn) {
			_, _ = http.ReadRequest(bufio.NewReader(c))
			_, _ = io.WriteString(c, s)
		}
	}
	for _, row := range []struct {
		name   string
		serve  func(net.Conn)
		reason string
		says   string
	}{
		{"forbids", says("HTTP/1.1 403 Forbidden\r\n\r\n"), "dial", "it refuses a tunnel to shop.test:80: status 403 Forbidden"},
		{"wants a password", says("HTTP/1.1 407 Who are you\r\n\r\n"), "dial", "refuses the user or password"},
		{"closes", says(""), "dial", "it did not answer CONNECT"},
		{"is cut off", says("HTTP/1.1 200 OK\r\n"), "dial", "it did not answer CONNECT"},
		{"is no proxy", says("220 mail.example ESMTP\r\n\r\n"), "dial", "the answer is not HTTP"},
		{"never ends its head", func(c net.Conn) {
			for {
				if _, err := io.WriteString(c, strings.Repeat("x", 4096)); err != nil {
					return
				}
			}
		}, "dial", "longer than"},
		{"hangs", func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }, "timeout", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			timeout := 20000
			if row.reason == "timeout" {
				timeout = 500
			}
			at := "http://ann:hunter2@" + rawServer(t, row.serve)
			r := perform(t, newClient(t, effect.ClientOptions{Proxy: effect.Proxy{PlainURL: at}}),
				call("x", "method", "POST", "url", "http://shop.test/", "timeout_ms", timeout))
			h := headOf(t, r)
			if r.Outcome != effect.NotSent || h.Error == nil || h.Error.Reason != row.reason || !strings.Contains(r.Text, row.says) {
				t.Errorf("outcome %d, text %q, head %s", r.Outcome, r.Text, r.Answer.Head)
			}
			if strings.Contains(r.Text+string(r.Answer.Head), "hunter2") {
				t.Error("the password of the proxy is shown")
			}
		})
	}
}

// TestCutTunnelIsUnknown checks that a tunnel does not hide that the server was reached.
func TestCutTunnelIsUnknown(t *testing.T) {
	t.Parallel()
	var posts atomic.Int32
	p := &tunnels{to: rawServer(t, func(c net.Conn) {
		if r, err := http.ReadRequest(bufio.NewReader(c)); err == nil && r.Method == http.MethodPost {
			posts.Add(1)
		}
	})}
	at := "http://" + rawServer(t, p.serve)
	r := perform(t, newClient(t, effect.ClientOptions{Proxy: effect.Proxy{PlainURL: at}}), call("x", "method", "POST", "url", "http://shop.test/"))
	if r.Outcome != effect.Unknown || posts.Load() != 1 {
		t.Errorf("outcome %d %s after %d POSTs", r.Outcome, r.Text, posts.Load())
	}
}

func TestProxyExceptions(t *testing.T) {
	t.Parallel()
	direct := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "direct") }))
	t.Cleanup(direct.Close)
	p := &tunnels{to: direct.Listener.Addr().String()}
	at := rawServer(t, p.serve)
	var dialled sync.Map
	c := newClient(t, effect.ClientOptions{
		Proxy: effect.Proxy{URL: "http://" + at, PlainURL: "http://" + at, Except: "inside.test,.far.test,10.0.0.0/8"},
		Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			dialled.Store(addr, true)
			if addr != at {
				addr = direct.Listener.Addr().String()
			}
			return (&net.Dialer{}).DialContext(ctx, network, addr)
		}})
	for _, row := range []struct {
		url, dials string
	}{
		{"http://shop.test/", at},
		{"http://inside.test/", "inside.test:80"},
		{"http://a.inside.test/", "a.inside.test:80"},
		{"http://b.far.test/", "b.far.test:80"},
		{"http://10.1.2.3/", "10.1.2.3:80"},
		{"http://localhost:1234/", "localhost:1234"},
		{"http://127.0.0.1:1234/", "127.0.0.1:1234"},
		{"http://[::1]:1234/", "[::1]:1234"},
	} {
		dialled.Clear()
		r := perform(t, c, call("x", "method", "GET", "url", row.url))
		if _, ok := dialled.Load(row.dials); !ok || r.Outcome != effect.Answered {
			t.Errorf("%s: %s did not reach %s", row.url, r.Text, row.dials)
		}
	}
	refuse := newClient(t, effect.ClientOptions{Proxy: effect.Proxy{PlainURL: "http://" + at},
		Policy: func(_ string, to netip.AddrPort) error { return errors.New("no way to " + to.String()) }})
	if r := perform(t, refuse, call("x", "method", "GET", "url", "http://192.0.2.7:99/")); !strings.Contains(r.Text, "no way to 192.0.2.7:99") {
		t.Errorf("the policy was not asked: %s", r.Text)
	}
}
