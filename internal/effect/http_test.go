package effect_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
)

// answerHead is the head of an answer as a guest reads it.
type answerHead struct {
	Status  int        `json:"status"`
	Headers [][]string `json:"headers"`
	URL     string     `json:"url"`
	Error   *struct {
		Kind, Message, Reason string
		Status                int
	} `json:"error"`
}

func headOf(t *testing.T, r effect.Result) answerHead {
	t.Helper()
	var h answerHead
	if err := json.Unmarshal(r.Answer.Head, &h); err != nil {
		t.Fatalf("head of answer %q: %v", r.Answer.Head, err)
	}
	return h
}

// call makes an http call from the members of its head.
func call(body string, members ...any) flawless.Call {
	h := map[string]any{}
	for i := 0; i < len(members); i += 2 {
		h[members[i].(string)] = members[i+1]
	}
	b, err := json.Marshal(h)
	if err != nil {
		panic(err)
	}
	return flawless.Call{N: 7, Kind: effect.HTTP, Head: b, Body: []byte(body)}
}

func newClient(t *testing.T, o effect.ClientOptions) *effect.Client { return secretClient(t, o, nil) }

func secretClient(t *testing.T, o effect.ClientOptions, secrets func() []flawless.OpenSecret) *effect.Client {
	t.Helper()
	c := effect.NewClient(o, secrets)
	t.Cleanup(c.Close)
	return c
}

func perform(t *testing.T, c *effect.Client, made flawless.Call) effect.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	return c.Perform(ctx, effect.Attempt{Run: "wkf_x", Call: made, N: 1})
}

func stagesOf(r effect.Result) string {
	var names []string
	for _, s := range r.Stages {
		names = append(names, s.Name)
	}
	return strings.Join(names, " ")
}

// rawServer runs serve for each connection it accepts, and closes the connection after it.
func rawServer(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serveOn(t, l, serve)
	return l.Addr().String()
}

func serveOn(t *testing.T, l net.Listener, serve func(net.Conn)) {
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		open = map[net.Conn]bool{}
	)
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open[c] = true
			mu.Unlock()
			wg.Go(func() {
				serve(c)
				_ = c.Close()
				mu.Lock()
				delete(open, c)
				mu.Unlock()
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		for c := range open {
			_ = c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
}

// readRequest reads a whole request, and reports whether there was one.
func readRequest(in *bufio.Reader) (*http.Request, []byte, bool) {
	req, err := http.ReadRequest(in)
	if err != nil {
		return nil, nil, false
	}
	body, err := io.ReadAll(req.Body)
	return req, body, err == nil
}

const plainOK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// answering is a raw server that answers the nth request of all connections with reply(n), and closes the connection
// if that is empty. It counts the requests.
func answering(t *testing.T, reply func(n int) string) (addr string, seen *atomic.Int64) {
	seen = new(atomic.Int64)
	addr = rawServer(t, func(c net.Conn) {
		in := bufio.NewReader(c)
		for {
			if _, _, ok := readRequest(in); !ok {
				return
			}
			s := reply(int(seen.Add(1)))
			if s == "" {
				return
			}
			if _, err := io.WriteString(c, s); err != nil {
				return
			}
		}
	})
	return addr, seen
}

func secure(t *testing.T, h http.Handler, http2 bool) (*httptest.Server, *tls.Config) {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.EnableHTTP2 = http2
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	return s, &tls.Config{RootCAs: pool}
}

func TestHTTPAnswers(t *testing.T) {
	t.Parallel()
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Key", r.Header.Get("Idempotency-Key"))
		w.Header().Set("X-Agent", r.Header.Get("User-Agent"))
		w.Header().Set("X-Encoding", r.Header.Get("Accept-Encoding"))
		w.Header().Set("X-Proto", r.Proto)
		w.Header().Set("X-Host", r.Host)
		w.Header().Add("X-Two", "1")
		w.Header().Add("X-Two", "\"2\"")
		w.WriteHeader(http.StatusTeapot)
		_, _ = fmt.Fprintf(w, "%s %s %s", r.Method, r.RequestURI, body)
	})
	plain := httptest.NewServer(handler)
	t.Cleanup(plain.Close)
	s1, cfg1 := secure(t, handler, false)
	s2, cfg2 := secure(t, handler, true)
	for _, row := range []struct {
		name, url, proto string
		tls              *tls.Config
	}{
		{"plain", plain.URL, "HTTP/1.1", nil},
		{"tls", s1.URL, "HTTP/1.1", cfg1},
		{"http2", s2.URL, "HTTP/2.0", cfg2},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			c := newClient(t, effect.ClientOptions{TLS: row.tls})
			for range 3 {
				r := perform(t, c, call("hello", "method", "POST", "url", row.url+"/a b?q=x y#part", "headers", [][]string{{"host", "pay.example"}}))
				h := headOf(t, r)
				if r.Outcome != effect.Answered || h.Status != 418 || r.Text != "418 I'm a teapot" {
					t.Fatalf("result %+v, head %s", r, r.Answer.Head)
				}
				if got, want := string(r.Answer.Body), "POST /a%20b?q=x%20y hello"; got != want {
					t.Errorf("body %q, want %q", got, want)
				}
				if got := stagesOf(r); got != "connected sent answered" {
					t.Errorf("stages %s", got)
				}
				if h.URL != row.url+"/a%20b?q=x%20y" {
					t.Errorf("url %s", h.URL)
				}
				got := fmt.Sprint(h.Headers)
				for _, want := range []string{"[X-Key wkf_x-7]", "[X-Agent flawless/" + flawless.Version + "]", "[X-Encoding ]", "[X-Proto " + row.proto + "]", "[X-Host pay.example]", `[X-Two 1] [X-Two "2"]`} {
					if !strings.Contains(got, want) {
						t.Errorf("headers %s, want %s in them", got, want)
					}
				}
			}
		})
	}
}

func TestHTTPGuestHeadersWin(t *testing.T) {
	t.Parallel()
	var lines atomic.Value
	addr := rawServer(t, func(c net.Conn) {
		var all []string
		in := bufio.NewReader(c)
		for {
			line, err := in.ReadString('\n')
			if err != nil || line == "\r\n" {
				break
			}
			all = append(all, strings.TrimSpace(line))
		}
		lines.Store(strings.Join(all, "|"))
		_, _ = io.WriteString(c, plainOK)
	})
	c := newClient(t, effect.ClientOptions{})
	r := perform(t, c, call("", "url", "http://"+addr+"/", "headers", [][]string{
		{"x-zebra", "1"}, {"idempotency-key", "mine"}, {"Accept", "a"}, {"user-agent", "me"}, {"accept", "b"}, {"Content-Length", "0"}}))
	if r.Outcome != effect.Answered {
		t.Fatal(r.Text)
	}
	want := "GET / HTTP/1.1|Host: " + addr + "|X-Zebra: 1|Idempotency-Key: mine|Accept: a|User-Agent: me|Accept: b"
	if got := lines.Load(); got != want {
		t.Errorf("request\n%s, want\n%s", got, want)
	}
}

func TestHTTPBodilessResponses(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ name, method, response, body string }{
		{"head", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n", ""},
		{"no content", "GET", "HTTP/1.1 204 No Content\r\n\r\n", ""},
		{"not modified", "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n", ""},
		{"after 100 and 103", "POST", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + plainOK, "ok"},
		{"chunked with trailer", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\nX-End: 1\r\n\r\n", "ok"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			addr, seen := answering(t, func(int) string { return row.response })
			c := newClient(t, effect.ClientOptions{})
			for range 2 {
				r := perform(t, c, call("", "method", row.method, "url", "http://"+addr, "headers", [][]string{{"Expect", "100-continue"}}))
				if r.Outcome != effect.Answered || string(r.Answer.Body) != row.body {
					t.Fatalf("outcome %d, %s, body %q", r.Outcome, r.Text, r.Answer.Body)
				}
			}
			if seen.Load() != 2 {
				t.Errorf("the server saw %d requests, want 2", seen.Load())
			}
		})
	}
}

func TestHTTPLimit(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name    string
		size    int
		chunked bool
		large   bool
	}{
		{"one below", 999, false, false}, {"exactly", 1000, false, false}, {"one above", 1001, false, true},
		{"chunked, exactly", 1000, true, false}, {"chunked, one above", 1001, true, true}, {"far above", 1 << 20, true, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if !row.chunked {
					w.Header().Set("Content-Length", fmt.Sprint(row.size))
				}
				for sent := 0; sent < row.size; {
					n := min(row.size-sent, 100)
					if _, err := w.Write(make([]byte, n)); err != nil {
						return
					}
					if row.chunked && sent < 2000 {
						w.(http.Flusher).Flush()
					}
					sent += n
				}
			})
			s1 := httptest.NewServer(h)
			t.Cleanup(s1.Close)
			s2, cfg := secure(t, h, true)
			for _, url := range []string{s1.URL, s2.URL} {
				r := perform(t, newClient(t, effect.ClientOptions{TLS: cfg}), call("", "method", "POST", "url", url, "limit", 1000))
				h := headOf(t, r)
				switch {
				case r.Outcome != effect.Answered:
					t.Errorf("%s: outcome %d: %s", url, r.Outcome, r.Text)
				case row.large && (h.Error == nil || h.Error.Kind != "too_large" || h.Error.Status != 200 || len(r.Answer.Body) != 0):
					t.Errorf("%s: head %s", url, r.Answer.Head)
				case !row.large && (h.Error != nil || len(r.Answer.Body) != row.size):
					t.Errorf("%s: head %s, %d bytes", url, r.Answer.Head, len(r.Answer.Body))
				}
			}
		})
	}
}

func TestHTTPManyAtOnce(t *testing.T) {
	t.Parallel()
	var seen atomic.Int64
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen.Add(1)
		_, _ = io.Copy(w, r.Body)
	})
	s1 := httptest.NewServer(h)
	t.Cleanup(s1.Close)
	s2, cfg := secure(t, h, true)
	for _, url := range []string{s1.URL, s2.URL} {
		seen.Store(0)
		c := newClient(t, effect.ClientOptions{TLS: cfg})
		var wg sync.WaitGroup
		for i := range 1000 {
			wg.Go(func() {
				body := fmt.Sprint("body ", i)
				r := perform(t, c, call(body, "method", "POST", "url", url))
				if r.Outcome != effect.Answered || string(r.Answer.Body) != body {
					t.Errorf("call %d: outcome %d: %s: %q", i, r.Outcome, r.Text, r.Answer.Body)
				}
			})
		}
		wg.Wait()
		if seen.Load() != 1000 {
			t.Errorf("the server saw %d requests, want 1000", seen.Load())
		}
	}
}

func TestHTTPLargeBodyIsAnsweredEarly(t *testing.T) {
	t.Parallel()
	var seen atomic.Int64
	addr := rawServer(t, func(c net.Conn) {
		seen.Add(1)
		if _, err := c.Read(make([]byte, 100)); err != nil {
			return
		}
		_, _ = io.WriteString(c, "HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
		_, _ = c.Read(make([]byte, 100))
		_, _ = io.Copy(io.Discard, c)
	})
	r := perform(t, newClient(t, effect.ClientOptions{}), call(strings.Repeat("x", 32<<20), "method", "POST", "url", "http://"+addr))
	if r.Outcome != effect.Answered || headOf(t, r).Status != 413 || seen.Load() != 1 {
		t.Errorf("outcome %d: %s", r.Outcome, r.Text)
	}
}

// A Content-Length makes the client allocate no more than the bytes that arrive.
func TestContentLengthDoesNotAllocate(t *testing.T) {
	t.Parallel()
	for _, length := range []string{"9223372036854775807", "9223372036854775806"} {
		addr, _ := answering(t, func(int) string { return "HTTP/1.1 200 OK\r\nContent-Length: " + length + "\r\n\r\nhello world" })
		s, cfg := secure(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", length)
			_, _ = io.WriteString(w, "hello world")
		}), true)
		for _, url := range []string{"http://" + addr, s.URL} {
			r := perform(t, newClient(t, effect.ClientOptions{TLS: cfg}), call("", "method", "POST", "url", url, "limit", 5, "longer", "cut"))
			if r.Outcome != effect.Answered || string(r.Answer.Body) != "hello" {
				t.Errorf("%s, length %s: outcome %d, %s, body %q", url, length, r.Outcome, r.Text, r.Answer.Body)
			}
		}
	}
}

// breaking is a connection that panics when it is read.
type breaking struct {
	net.Conn
	closed chan struct{}
}

func (b *breaking) Read([]byte) (int, error) { panic("broken") }

func (b *breaking) Close() error {
	close(b.closed)
	return b.Conn.Close()
}

func TestPanicLeavesNoConnection(t *testing.T) {
	t.Parallel()
	addr, _ := answering(t, func(int) string { return plainOK })
	closed := make(chan struct{})
	c := newClient(t, effect.ClientOptions{Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		raw, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		return &breaking{raw, closed}, err
	}})
	func() {
		defer func() {
			if recover() == nil {
				t.Error("it did not panic")
			}
		}()
		perform(t, c, call("", "url", "http://"+addr))
	}()
	select {
	case <-closed:
	default:
		t.Error("the connection is still open")
	}
}
