package effect_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/flawless-engine/flawless/internal/effect"
)

func TestNotSent(t *testing.T) {
	t.Parallel()
	const closed = "http://127.0.0.1:1" // a port that is given to nobody, unlike one that was free a moment ago
	s, _ := secure(t, http.NotFoundHandler(), true)
	mute := rawServer(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	for _, row := range []struct {
		name, url, reason string
		options           effect.ClientOptions
	}{
		{"no such name", "http://nobody.invalid/", "name", effect.ClientOptions{Dial: func(context.Context, string, string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "nobody.invalid", IsNotFound: true}}
		}}},
		{"port refused", closed, "dial", effect.ClientOptions{}},
		{"certificate of a stranger", s.URL, "tls", effect.ClientOptions{}},
		{"not TLS", "https://" + rawServer(t, func(c net.Conn) { _, _ = io.WriteString(c, "hello, I am no TLS server") }), "tls", effect.ClientOptions{}},
		{"dial hangs", closed, "timeout", effect.ClientOptions{Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}}},
		{"TLS hangs", "https://" + mute, "timeout", effect.ClientOptions{}},
		{"policy", "http://" + mute, "policy", effect.ClientOptions{Policy: func(host string, addr netip.AddrPort) error {
			return errors.New("loopback is not allowed: " + host + " " + addr.String())
		}}},
		{"policy with a dial of one's own", "http://" + mute, "policy", effect.ClientOptions{
			Policy: func(string, netip.AddrPort) error { return errors.New("no") },
			Dial:   func(context.Context, string, string) (net.Conn, error) { panic("dialled in spite of the policy") }}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			timeout := 20000
			if row.reason == "timeout" {
				timeout = 3000
			}
			made := call("x", "method", "POST", "url", row.url, "timeout_ms", timeout, "retry", map[string]any{"attempts": 2})
			r := perform(t, newClient(t, row.options), made)
			h := headOf(t, r)
			if r.Outcome != effect.NotSent || h.Error == nil || h.Error.Kind != "not_sent" || h.Error.Reason != row.reason {
				t.Errorf("outcome %d, head %s", r.Outcome, r.Answer.Head)
			}
			if passes := row.reason != "policy"; r.Again != passes || r.Passes != passes || r.Reason != row.reason {
				t.Errorf("again %v, passes %v, for reason %q", r.Again, r.Passes, r.Reason)
			}
			if stagesOf(r) != "failed" || r.Text == "" {
				t.Errorf("stages %q, text %q", stagesOf(r), r.Text)
			}
		})
	}
}

func TestPolicyAllows(t *testing.T) {
	t.Parallel()
	addr, seen := answering(t, func(int) string { return plainOK })
	var asked atomic.Value
	c := newClient(t, effect.ClientOptions{Policy: func(host string, a netip.AddrPort) error { asked.Store(host + " " + a.String()); return nil }})
	if r := perform(t, c, call("", "url", "http://"+addr)); r.Outcome != effect.Answered || seen.Load() != 1 {
		t.Error(r.Text)
	}
	if want := "127.0.0.1 " + addr; asked.Load() != want {
		t.Errorf("asked for %v, want %s", asked.Load(), want)
	}
}

func TestInterruptedResponseHasUnknownOutcome(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, response string
		hang           bool
		status         int
		text           string
	}{
		{"silence", "", true, 0, "longer than 3s"},
		{"cut in the headers", "HTTP/1.1 200 OK\r\nContent-Le", false, 0, "closed"},
		{"cut in the body", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", false, 200, "status 200 was cut off"},
		{"hangs in the body", "HTTP/1.1 201 OK\r\nContent-Length: 5\r\n\r\nab", true, 201, "longer than 3s"},
		{"cut between chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", false, 200, "cut off"},
		{"cut before the last line of the chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n", false, 200, "cut off"},
		{"bad chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab\r\n", true, 200, "not HTTP"},
		{"garbage", "SSH-2.0-OpenSSH_9.9\r\n", true, 0, "not HTTP"},
		{"binary garbage", "\x15\x03\x01\x00\x02\x02\x50\r\n\r\n", true, 0, "not HTTP"},
		{"two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef", true, 0, "not HTTP"},
		{"negative length", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", true, 0, "not HTTP"},
		{"switching protocols", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", true, 101, "unexpected status"},
		{"huge header", "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 2<<20) + "\r\n\r\n", true, 0, "longer than 1048576 bytes"},
		{"early hints without end", strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", 40000), true, 0, "longer than 1048576 bytes"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			var seen atomic.Int64
			addr := rawServer(t, func(c net.Conn) {
				in := bufio.NewReader(c)
				if _, _, ok := readRequest(in); ok {
					seen.Add(1)
					_, _ = io.WriteString(c, row.response)
				}
				if row.hang {
					_, _ = io.Copy(io.Discard, in)
				}
			})
			timeout := 20000
			if strings.Contains(row.text, "longer than 3s") {
				timeout = 3000
			}
			r := perform(t, newClient(t, effect.ClientOptions{}), call("x", "method", "POST", "url", "http://"+addr, "timeout_ms", timeout,
				"retry", map[string]any{"attempts": 5}))
			h := headOf(t, r)
			if r.Outcome != effect.Unknown || r.Again || h.Error == nil || h.Error.Kind != "interrupted" || h.Error.Status != row.status {
				t.Errorf("outcome %d, again %v, head %s", r.Outcome, r.Again, r.Answer.Head)
			}
			if !strings.Contains(r.Text, row.text) {
				t.Errorf("text %q, want %q in it", r.Text, row.text)
			}
			if stagesOf(r) != "connected sent failed" || seen.Load() != 1 {
				t.Errorf("stages %s, seen %d times", stagesOf(r), seen.Load())
			}
		})
	}
}

func TestTimeoutOverHTTP2(t *testing.T) {
	t.Parallel()
	s, cfg := secure(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }), true)
	r := perform(t, newClient(t, effect.ClientOptions{TLS: cfg}), call("", "url", s.URL, "timeout_ms", 3000, "retry", map[string]any{"attempts": 2}))
	if h := headOf(t, r); r.Outcome != effect.Unknown || !r.Again || h.Error == nil || h.Error.Kind != "unknown" || !strings.Contains(r.Text, "longer than 3s") {
		t.Errorf("outcome %d, again %v, head %s", r.Outcome, r.Again, r.Answer.Head)
	}
}

func TestCancelDuringExchange(t *testing.T) {
	t.Parallel()
	reached := make(chan struct{}, 1)
	s, cfg := secure(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		reached <- struct{}{}
		<-r.Context().Done()
	}), true)
	plain := rawServer(t, func(c net.Conn) {
		in := bufio.NewReader(c)
		_, _, _ = readRequest(in)
		reached <- struct{}{}
		_, _ = io.Copy(io.Discard, in)
	})
	for _, url := range []string{s.URL, "http://" + plain} {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan effect.Result)
		c := newClient(t, effect.ClientOptions{TLS: cfg})
		go func() {
			done <- c.Perform(ctx, effect.Attempt{Run: "r", Call: call("x", "method", "POST", "url", url), N: 1})
		}()
		<-reached
		cancel()
		if r := <-done; r.Outcome != effect.Unknown || !strings.Contains(r.Text, "abandoned the call") {
			t.Errorf("%s: outcome %d: %s", url, r.Outcome, r.Text)
		}
		if r := c.Perform(ctx, effect.Attempt{Run: "r", Call: call("x", "method", "POST", "url", url), N: 1}); r.Outcome != effect.NotSent {
			t.Errorf("%s: with ctx done: outcome %d: %s", url, r.Outcome, r.Text)
		}
	}
}

func TestClosedClientKeepsNothing(t *testing.T) {
	t.Parallel()
	gone := make(chan struct{}, 2)
	addr := rawServer(t, func(c net.Conn) {
		in := bufio.NewReader(c)
		for {
			if _, _, ok := readRequest(in); !ok {
				gone <- struct{}{}
				return
			}
			_, _ = io.WriteString(c, plainOK)
		}
	})
	c := effect.NewClient(effect.ClientOptions{}, nil)
	made := call("", "method", "POST", "url", "http://"+addr)
	perform(t, c, made)
	c.Close()
	<-gone
	if r := perform(t, c, made); r.Outcome != effect.Answered {
		t.Error(r.Text)
	}
	<-gone
}
