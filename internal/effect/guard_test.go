package effect

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/flawless-engine/flawless"
)

// ask makes an http call.
func ask(t *testing.T, head map[string]any, body string) Try {
	t.Helper()
	b, err := json.Marshal(head)
	if err != nil {
		t.Fatal(err)
	}
	return Try{Run: "wkf_1", N: 1, Call: flawless.Call{N: 2, Kind: HTTP, Head: b, Body: []byte(body)}}
}

// answered is what the guest is told.
type answered struct {
	Status int
	URL    string
	Error  struct {
		Kind, Message, Reason string
		Status                int
	}
}

func told(t *testing.T, r Result) (a answered) {
	t.Helper()
	if err := json.Unmarshal(r.Answer.Head, &a); err != nil {
		t.Fatalf("head %s: %v", r.Answer.Head, err)
	}
	return a
}

// closing is a server that reads whole requests, counts them, answers the first `good` of a
// connection and closes it on the next.
func closing(t *testing.T, good int) (url string, seen *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	seen = new(atomic.Int64)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				in := bufio.NewReader(c)
				for n := 0; ; n++ {
					r, err := http.ReadRequest(in)
					if err != nil {
						return
					}
					_, _ = io.Copy(io.Discard, r.Body)
					seen.Add(1)
					if n >= good {
						return
					}
					_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
				}
			}()
		}
	}()
	return "http://" + l.Addr().String(), seen
}

// TestNothingRepeatsARequest is the guard: a server that reads a request and closes the connection
// sees it once, whatever net/http would do.
func TestNothingRepeatsARequest(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"GET", "POST", "PUT", "DELETE"} {
		for _, body := range []string{"", "body"} {
			for _, reused := range []bool{false, true} {
				for _, key := range []bool{false, true} {
					t.Run(fmt.Sprintf("%s, body %q, reused %v, own key %v", method, body, reused, key), func(t *testing.T) {
						t.Parallel()
						c := NewClient(ClientOptions{})
						defer c.Close()
						good := 0
						if reused {
							good = 1
						}
						url, seen := closing(t, good)
						head := map[string]any{"method": method, "url": url}
						if key {
							head["headers"] = [][2]string{{"Idempotency-Key", "mine"}}
						}
						if reused {
							if r := c.Perform(t.Context(), ask(t, head, body)); r.Outcome != Answered {
								t.Fatalf("the first request: %+v", r)
							}
						}
						before := seen.Load()
						r := c.Perform(t.Context(), ask(t, head, body))
						if n := seen.Load() - before; n != 1 {
							t.Errorf("the server saw the request %d times", n)
						}
						if r.Outcome != Unknown {
							t.Errorf("the outcome is %v: %s", r.Outcome, r.Text)
						}
					})
				}
			}
		}
	}
}

// TestNothingRepeatsARequestOverHTTP2: the server reads the request and says, falsely, that it has
// processed nothing; or refuses the stream.
func TestNothingRepeatsARequestOverHTTP2(t *testing.T) {
	t.Parallel()
	cert := httptest.NewUnstartedServer(nil)
	cert.StartTLS()
	defer cert.Close()
	for _, row := range []struct {
		name   string
		refuse func(f *http2.Framer, stream uint32)
	}{
		{"GOAWAY", func(f *http2.Framer, _ uint32) { _ = f.WriteGoAway(0, http2.ErrCodeNo, nil) }},
		{"REFUSED_STREAM", func(f *http2.Framer, s uint32) { _ = f.WriteRSTStream(s, http2.ErrCodeRefusedStream) }},
	} {
		for _, body := range []string{"", "body"} {
			t.Run(row.name+" body "+body, func(t *testing.T) {
				l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: cert.TLS.Certificates, NextProtos: []string{"h2"}})
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
				var seen atomic.Int64
				go func() {
					for {
						c, err := l.Accept()
						if err != nil {
							return
						}
						go func() {
							defer c.Close()
							if _, err := io.ReadFull(c, make([]byte, len(http2.ClientPreface))); err != nil {
								return
							}
							f := http2.NewFramer(c, c)
							_ = f.WriteSettings()
							for {
								frame, err := f.ReadFrame()
								if err != nil {
									return
								}
								if h, is := frame.(*http2.HeadersFrame); is {
									seen.Add(1)
									row.refuse(f, h.StreamID)
								}
							}
						}()
					}
				}()
				pool := cert.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
				c := NewClient(ClientOptions{TLS: &tls.Config{RootCAs: pool, ServerName: "example.com"}})
				defer c.Close()
				r := c.Perform(t.Context(), ask(t, map[string]any{"method": "POST", "url": "https://" + l.Addr().String(), "timeout_ms": 3000}, body))
				if seen.Load() != 1 || r.Outcome != Unknown {
					t.Errorf("seen %d times, outcome %v: %s", seen.Load(), r.Outcome, r.Text)
				}
			})
		}
	}
}

func TestWhatIsNotSent(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead := l.Addr().String()
	_ = l.Close()
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	for _, row := range []struct{ name, url, reason string }{
		{"no such name", "http://name.invalid/", "name"},
		{"nobody listens", "http://" + dead + "/", "dial"},
		{"no TLS there", strings.Replace(plain.URL, "http:", "https:", 1), "tls"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			c := NewClient(ClientOptions{})
			defer c.Close()
			r := c.Perform(t.Context(), ask(t, map[string]any{"method": "POST", "url": row.url, "timeout_ms": 5000}, "x"))
			a := told(t, r)
			if r.Outcome != NotSent || a.Error.Kind != "not_sent" || a.Error.Reason != row.reason {
				t.Errorf("outcome %v, told %+v", r.Outcome, a.Error)
			}
		})
	}
}

// raw is a server that answers every request with the same bytes and closes.
func raw(t *testing.T, text string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				if r, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
					_, _ = io.Copy(io.Discard, r.Body)
					_, _ = io.WriteString(c, text)
				}
			}()
		}
	}()
	return "http://" + l.Addr().String()
}

func TestWhatCountsAsAnswered(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, text string
		limit      int
		outcome    Outcome
		status     int
		kind       string
		errStatus  int
	}{
		{"a whole response", "HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok", 0, Answered, 201, "", 0},
		{"a status that is an error", "HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n", 0, Answered, 500, "", 0},
		{"an early hint, then the response", "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 0, Answered, 200, "", 0},
		{"chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 0, Answered, 200, "", 0},
		{"a redirect of a POST", "HTTP/1.1 307 There\r\nLocation: http://name.invalid/\r\nContent-Length: 0\r\n\r\n", 0, Answered, 307, "", 0},
		{"nothing", "", 0, Unknown, 0, "interrupted", 0},
		{"half a head", "HTTP/1.1 200 OK\r\nConte", 0, Unknown, 0, "interrupted", 0},
		{"half a body", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nok", 0, Unknown, 0, "interrupted", 200},
		{"half of the chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", 0, Unknown, 0, "interrupted", 200},
		{"garbage", "hello\r\n\r\n", 0, Unknown, 0, "interrupted", 0},
		{"a body at the limit", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n1234", 4, Answered, 200, "", 0},
		{"a body above the limit", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n12345", 4, Answered, 0, "too_large", 200},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			c := NewClient(ClientOptions{})
			defer c.Close()
			head := map[string]any{"method": "POST", "url": raw(t, row.text)}
			if row.limit > 0 {
				head["limit"] = row.limit
			}
			r := c.Perform(t.Context(), ask(t, head, "x"))
			a := told(t, r)
			if r.Outcome != row.outcome || a.Status != row.status || a.Error.Kind != row.kind || a.Error.Status != row.errStatus {
				t.Errorf("outcome %v, told %+v: %s", r.Outcome, a, r.Text)
			}
		})
	}
}

func TestATimeoutAfterSendingIsUnknown(t *testing.T) {
	t.Parallel()
	gate := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-gate }))
	defer s.Close()
	defer close(gate)
	c := NewClient(ClientOptions{})
	defer c.Close()
	r := c.Perform(t.Context(), ask(t, map[string]any{"method": "POST", "url": s.URL, "timeout_ms": 50}, "x"))
	if r.Outcome != Unknown {
		t.Errorf("the outcome is %v: %s", r.Outcome, r.Text)
	}
}

func TestWhatTheServerIsSent(t *testing.T) {
	t.Parallel()
	got := make(chan *http.Request, 1)
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got <- r }))
	defer s.Close()
	c := NewClient(ClientOptions{})
	defer c.Close()
	c.Perform(t.Context(), ask(t, map[string]any{"method": "POST", "url": s.URL + "/p?q=1", "headers": [][2]string{{"x-mine", "1"}}}, "body"))
	r := <-got
	if r.Header.Get("Idempotency-Key") != "wkf_1-2" || r.Header.Get("X-Mine") != "1" || r.ContentLength != 4 ||
		r.URL.String() != "/p?q=1" || r.Header.Get("Accept-Encoding") != "" {
		t.Errorf("the server got %s %s %v", r.Method, r.URL, r.Header)
	}
}

func TestRetriesAreAllowedWhereTheyDoNoHarm(t *testing.T) {
	t.Parallel()
	busy := raw(t, "HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n")
	nothing := raw(t, "")
	retry := map[string]any{"attempts": 3}
	c := NewClient(ClientOptions{})
	defer c.Close()
	for _, row := range []struct {
		name  string
		head  map[string]any
		again bool
	}{
		{"a busy server", map[string]any{"method": "POST", "url": busy, "retry": retry}, true},
		{"a busy server without a policy", map[string]any{"method": "POST", "url": busy}, false},
		{"an unknown outcome", map[string]any{"method": "POST", "url": nothing, "retry": retry}, false},
		{"an unknown outcome that does no harm", map[string]any{"method": "POST", "url": nothing, "retry": retry, "idempotent": true}, true},
	} {
		r := c.Perform(t.Context(), ask(t, row.head, "x"))
		if r.Again != row.again {
			t.Errorf("%s: again is %v: %+v", row.name, r.Again, r)
		}
		if row.head["url"] == busy && row.again && r.After != 7*time.Second {
			t.Errorf("%s: Retry-After is %v", row.name, r.After)
		}
	}
}

func TestBadHeadsAreNamed(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ head, names string }{
		{`{}`, "url"},
		{`{"url":7}`, "url"},
		{`{"url":"ftp://x/"}`, "url"},
		{`{"url":"http://x/","method":"A B"}`, "method"},
		{`{"url":"http://x/","timeout_ms":-1}`, "timeout_ms"},
		{`{"url":"http://x/","limit":-1}`, "limit"},
		{`{"url":"http://x/","headers":[["a b","c"]]}`, "header"},
		{`{"url":"http://x/","retry":{"attempts":-1}}`, "attempts"},
		{`{"url":"http://x/","on_unknown":"perhaps"}`, "on_unknown"},
	} {
		_, err := checkHTTP(flawless.Call{N: 1, Kind: HTTP, Head: []byte(row.head)})
		if err == nil || !strings.Contains(err.Error(), row.names) {
			t.Errorf("%s: %v does not name %s", row.head, err, row.names)
		}
	}
}
