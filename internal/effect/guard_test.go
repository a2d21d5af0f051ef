package effect_test

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/net/http2"

	"github.com/flawless-engine/flawless/internal/effect"
)

// A server that reads a request and closes the connection must see any request only once.
func TestNothingIsSentTwice(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name    string
		method  string
		body    string
		headers [][]string
		warm    bool // the connection has carried a request before
	}{
		{name: "post with body", method: "POST", body: "x"},
		{name: "post without body", method: "POST"},
		{name: "post with body, reused", method: "POST", body: "x", warm: true},
		{name: "post without body, reused", method: "POST", warm: true},
		{name: "post with key, reused", method: "POST", headers: [][]string{{"Idempotency-Key", "k"}}, warm: true},
		{name: "post with X-Idempotency-Key, reused", method: "POST", headers: [][]string{{"X-Idempotency-Key", "k"}}, warm: true},
		{name: "large post, reused", method: "POST", body: strings.Repeat("x", 200<<10), warm: true},
		{name: "patch, reused", method: "PATCH", body: "x", warm: true},
		{name: "get", method: "GET"},
		{name: "get, reused", method: "GET", warm: true},
		{name: "put, reused", method: "PUT", body: "x", warm: true},
		{name: "delete, reused", method: "DELETE", warm: true},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			var conns, seen, warmed atomic.Int64
			addr := rawServer(t, func(c net.Conn) {
				conns.Add(1)
				in := bufio.NewReader(c)
				for {
					req, _, ok := readRequest(in)
					if !ok {
						return
					}
					if req.URL.Path != "/warm" {
						seen.Add(1)
						return
					}
					warmed.Add(1)
					_, _ = io.WriteString(c, plainOK)
				}
			})
			c := newClient(t, effect.ClientOptions{})
			if row.warm {
				if r := perform(t, c, call("", "method", "POST", "url", "http://"+addr+"/warm")); r.Outcome != effect.Answered {
					t.Fatal(r.Text)
				}
			}
			r := perform(t, c, call(row.body, "method", row.method, "url", "http://"+addr, "headers", row.headers))
			if r.Outcome != effect.Unknown || stagesOf(r) != "connected sent failed" {
				t.Errorf("outcome %d, stages %s: %s", r.Outcome, stagesOf(r), r.Text)
			}
			want := "interrupted"
			if row.method != "POST" && row.method != "PATCH" {
				want = "unknown"
			}
			if h := headOf(t, r); h.Error == nil || h.Error.Kind != want {
				t.Errorf("head %s, want error %s", r.Answer.Head, want)
			}
			if seen.Load() != 1 || conns.Load() != 1 {
				t.Errorf("the server saw the request %d times on %d connections, want once on one", seen.Load(), conns.Load())
			}
		})
	}
}

// framed runs serve for each HTTP/2 connection it accepts, and closes the connection after it.
func framed(t *testing.T, serve func(f *http2.Framer)) (addr string, cfg *tls.Config) {
	t.Helper()
	s, cfg := secure(t, http.NotFoundHandler(), true)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: s.TLS.Certificates, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	serveOn(t, l, func(c net.Conn) {
		if _, err := io.ReadFull(c, make([]byte, len(http2.ClientPreface))); err == nil {
			serve(http2.NewFramer(c, c))
		}
	})
	return l.Addr().String(), cfg
}

func TestNothingIsSentTwiceOverHTTP2(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name   string
		answer func(f *http2.Framer, stream uint32) bool // true keeps the connection
	}{
		{"closed", func(*http2.Framer, uint32) bool { return false }},
		{"goaway that disowns the stream", func(f *http2.Framer, _ uint32) bool {
			_ = f.WriteGoAway(0, http2.ErrCodeNo, nil)
			return true
		}},
		{"goaway, then closed", func(f *http2.Framer, id uint32) bool {
			_ = f.WriteGoAway(id, http2.ErrCodeNo, nil)
			return false
		}},
		{"goaway with an error", func(f *http2.Framer, _ uint32) bool {
			_ = f.WriteGoAway(0, http2.ErrCodeEnhanceYourCalm, nil)
			return true
		}},
		{"refused stream", func(f *http2.Framer, id uint32) bool {
			_ = f.WriteRSTStream(id, http2.ErrCodeRefusedStream)
			return true
		}},
		{"reset stream", func(f *http2.Framer, id uint32) bool {
			_ = f.WriteRSTStream(id, http2.ErrCodeInternal)
			return true
		}},
	} {
		for _, method := range []string{"POST", "GET"} {
			for _, body := range []string{"", "x"} {
				t.Run(row.name+" "+method+" "+body, func(t *testing.T) {
					t.Parallel()
					var seen atomic.Int64
					addr, cfg := framed(t, func(f *http2.Framer) {
						_ = f.WriteSettings()
						for {
							frame, err := f.ReadFrame()
							if err != nil {
								return
							}
							if h, ok := frame.(*http2.HeadersFrame); ok {
								seen.Add(1)
								if !row.answer(f, h.StreamID) {
									return
								}
							}
						}
					})
					r := perform(t, newClient(t, effect.ClientOptions{TLS: cfg}), call(body, "method", method, "url", "https://"+addr,
						"timeout_ms", 10000, "headers", [][]string{{"Idempotency-Key", "k"}}))
					if r.Outcome != effect.Unknown || seen.Load() != 1 {
						t.Errorf("outcome %d, seen %d times: %s", r.Outcome, seen.Load(), r.Text)
					}
				})
			}
		}
	}
}

// A connection that the server closed while it was idle must not be used again, even for POST.
func TestStaleConnectionIsNotUsed(t *testing.T) {
	t.Parallel()
	var seen, conns atomic.Int64
	closed := make(chan struct{}, 100)
	addr := rawServer(t, func(c net.Conn) {
		conns.Add(1)
		if _, _, ok := readRequest(bufio.NewReader(c)); ok {
			seen.Add(1)
			_, _ = io.WriteString(c, plainOK)
		}
		_ = c.Close()
		closed <- struct{}{}
	})
	c := newClient(t, effect.ClientOptions{})
	for i := range 20 {
		r := perform(t, c, call("x", "method", "POST", "url", "http://"+addr))
		if r.Outcome != effect.Answered {
			t.Fatalf("call %d: %s", i, r.Text)
		}
		<-closed
	}
	if seen.Load() != 20 || conns.Load() != 20 {
		t.Errorf("%d requests on %d connections, want 20 on 20", seen.Load(), conns.Load())
	}
}

func TestConnectionIsReused(t *testing.T) {
	t.Parallel()
	var conns, seen atomic.Int64
	addr := rawServer(t, func(c net.Conn) {
		conns.Add(1)
		in := bufio.NewReader(c)
		for {
			if _, _, ok := readRequest(in); !ok {
				return
			}
			seen.Add(1)
			_, _ = io.WriteString(c, plainOK)
		}
	})
	c := newClient(t, effect.ClientOptions{})
	for range 20 {
		perform(t, c, call("x", "method", "POST", "url", "http://"+addr))
	}
	if conns.Load() != 1 || seen.Load() != 20 {
		t.Errorf("%d requests on %d connections, want 20 on 1", seen.Load(), conns.Load())
	}
}
