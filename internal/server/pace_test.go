package server

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/quic-go/quic-go/http3"

	"github.com/flawless-engine/flawless/internal/listen"
	"github.com/flawless-engine/flawless/internal/reply"
)

// pipes is a listener for in-memory connections, which work in virtual time.
type pipes struct{ conns chan net.Conn }

func (p *pipes) Accept() (net.Conn, error) {
	c, open := <-p.conns
	if !open {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (p *pipes) Close() error { return nil }

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

func (p *pipes) dial(context.Context, string, string) (net.Conn, error) {
	here, there := net.Pipe()
	p.conns <- there
	return here, nil
}

// inPipes runs test against a server of h over pipes, in virtual time.
func inPipes(t *testing.T, h http.Handler, test func(t *testing.T, p *pipes)) {
	synctest.Test(t, func(t *testing.T) {
		p := &pipes{make(chan net.Conn)}
		s := listen.NewServer(slog.New(slog.DiscardHandler))
		s.Handler = listen.Pace{}.Enforce(h)
		served := make(chan error)
		go func() { served <- s.Serve(p) }()
		test(t, p)
		close(p.conns)
		<-served
		_ = s.Close()
		time.Sleep(time.Minute) // let clients that still send a body notice the end
	})
}

// drip is a body that sends one byte per second.
type drip struct{ left int }

func (d *drip) Read(b []byte) (int, error) {
	if d.left == 0 {
		return 0, io.EOF
	}
	time.Sleep(time.Second)
	d.left--
	b[0] = ' '
	return 1, nil
}

// stall is a body that sends everything at once, except its end.
type stall struct {
	left int
	end  <-chan struct{}
}

func (s *stall) Read(b []byte) (int, error) {
	if s.left == 0 {
		<-s.end
		return 0, io.EOF
	}
	n := min(len(b), s.left)
	s.left -= n
	for i := range b[:n] {
		b[i] = ' '
	}
	return n, nil
}

// protocols returns a transport for each protocol that works over pipes.
func protocols(p *pipes) map[string]*http.Transport {
	h1, h2 := new(http.Protocols), new(http.Protocols)
	h1.SetHTTP1(true)
	h2.SetUnencryptedHTTP2(true)
	return map[string]*http.Transport{"HTTP/1.1": {DialContext: p.dial, Protocols: h1}, "HTTP/2": {DialContext: p.dial, Protocols: h2}}
}

// TestSlowBodiesAreRefused sends bodies at one byte per second, or that stall, to every operation. Each request must end
// after the grace period.
func TestSlowBodiesAreRefused(t *testing.T) {
	t.Parallel()
	a, h := newAPI(context.Background(), newEngine(t), slog.New(slog.DiscardHandler), http.NewServeMux())
	type target struct{ method, path, kind string }
	all := []target{{"POST", "/nowhere", "text/plain"}, {"GET", "/api/v1/version", "text/plain"}}
	for path, item := range a.huma.OpenAPI().Paths {
		for _, op := range []*huma.Operation{item.Post, item.Put, item.Patch} {
			if op != nil && op.RequestBody != nil {
				for kind := range op.RequestBody.Content {
					all = append(all, target{op.Method, path, kind})
				}
			}
		}
	}
	for _, r := range a.theirRoutes() {
		if method, path, _ := strings.Cut(r.pattern, " "); method == "POST" {
			kind := "application/json"
			if strings.HasSuffix(path, "/deploy") {
				kind = "multipart/form-data; boundary=x"
			}
			all = append(all, target{method, path, kind})
		}
	}
	inPipes(t, h, func(t *testing.T, p *pipes) {
		h2 := protocols(p)["HTTP/2"]
		defer h2.CloseIdleConnections()
		for protocol, send := range map[string]func(*http.Request) (*http.Response, error){"HTTP/1.1": p.send, "HTTP/2": h2.RoundTrip} {
			for _, to := range all {
				for what, body := range map[string]func(end <-chan struct{}) io.Reader{
					"a byte a second": func(<-chan struct{}) io.Reader { return &drip{100_000} },
					"stalled":         func(end <-chan struct{}) io.Reader { return &stall{200_000, end} },
				} {
					ctx, cancel := context.WithCancel(t.Context())
					req, err := http.NewRequestWithContext(ctx, to.method, "http://h"+strings.NewReplacer("{n}", "1", "{", "", "}", "").Replace(to.path), body(ctx.Done()))
					if err != nil {
						t.Fatal(err)
					}
					req.Header.Set("Content-Type", to.kind)
					req.ContentLength = 250_000
					if to.path == "/api/module/deploy" {
						req.Header.Set("Content-Type", "multipart/form-data; boundary=b")
					}
					began := time.Now()
					resp, err := send(req)
					if took := time.Since(began); took > 61*time.Second {
						t.Errorf("%s, %s %s, %s: it took %v", protocol, to.method, to.path, what, took)
					}
					switch reads := to.path != "/nowhere" && to.method != "GET"; {
					case err != nil:
						t.Errorf("%s, %s %s, %s: %v", protocol, to.method, to.path, what, err)
					case to.path == "/api/module/deploy" && what == "stalled": // refused earlier, because blanks are not a form
					case reads && resp.StatusCode != http.StatusRequestTimeout:
						b, _ := io.ReadAll(resp.Body)
						t.Errorf("%s, %s %s, %s: status %d: %s", protocol, to.method, to.path, what, resp.StatusCode, b)
					}
					cancel()
				}
			}
		}
	})
}

// send sends a request over a new connection, and waits until the server has closed it.
func (p *pipes) send(req *http.Request) (*http.Response, error) {
	c, _ := p.dial(req.Context(), "", "")
	defer c.Close()
	go func() {
		fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\nContent-Type: %s\r\n\r\n", req.Method, req.URL.Path, req.ContentLength, req.Header.Get("Content-Type"))
		_, _ = io.Copy(c, req.Body)
	}()
	all, err := io.ReadAll(c)
	if err != nil {
		return nil, err
	}
	return http.ReadResponse(bufio.NewReader(bytes.NewReader(all)), req)
}

// steady is a body that sends at twice the minimum rate.
type steady struct{ left int }

func (s *steady) Read(b []byte) (int, error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	time.Sleep(time.Second)
	n := min(len(b), s.left, 2<<10)
	s.left -= n
	return n, nil
}

func TestSteadyBodiesAreAccepted(t *testing.T) {
	t.Parallel()
	const size = 1 << 20 // 512 seconds
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := readBody(r.Body, size)
		time.Sleep(time.Hour) // longer than any read deadline
		fmt.Fprint(w, len(b), err, r.Context().Err())
	})
	inPipes(t, h, func(t *testing.T, p *pipes) {
		for protocol, transport := range protocols(p) {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://h/", &steady{size})
			if err != nil {
				t.Fatal(err)
			}
			resp, err := transport.RoundTrip(req)
			if err != nil {
				t.Fatalf("%s: %v", protocol, err)
			}
			b, err := io.ReadAll(resp.Body)
			if want := fmt.Sprint(size, nil, nil); err != nil || string(b) != want {
				t.Errorf("%s: %q, %v; want %q", protocol, b, err, want)
			}
			_ = resp.Body.Close()
			transport.CloseIdleConnections()
		}
	})
}

// TestSlowReadersAreDisconnected if they do not read the answer.
func TestSlowReadersAreDisconnected(t *testing.T) {
	t.Parallel()
	ended := make(chan error, 1)
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, err := w.Write(make([]byte, 64<<20))
		ended <- err
	})
	inPipes(t, h, func(t *testing.T, p *pipes) {
		ended = make(chan error, 1)
		for protocol, transport := range protocols(p) {
			ctx, cancel := context.WithCancel(t.Context())
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://h/", nil)
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			resp, err := transport.RoundTrip(req)
			if err != nil {
				t.Fatalf("%s: %v", protocol, err)
			}
			if err := <-ended; err == nil || time.Since(began) > 61*time.Second {
				t.Errorf("%s: the answer ended with %v after %v", protocol, err, time.Since(began))
			}
			_ = resp.Body.Close()
			cancel()
			transport.CloseIdleConnections()
		}
	})
}

// TestSlowFollowersAreDisconnected: heartbeats reveal a client that follows a silent stream but does not read.
func TestSlowFollowersAreDisconnected(t *testing.T) {
	t.Parallel()
	a, h := newAPI(context.Background(), newEngine(t), slog.New(slog.DiscardHandler), http.NewServeMux())
	ended := make(chan error, 1)
	huma.Register(a.huma, operation("silent", http.MethodGet, "/silent", ""), func(context.Context, *struct{}) (*huma.StreamResponse, error) {
		return a.streaming(func(ctx context.Context, _ *stream) error {
			<-ctx.Done()
			ended <- ctx.Err()
			return ctx.Err()
		}), nil
	})
	inPipes(t, h, func(t *testing.T, p *pipes) {
		ended = make(chan error, 1)
		c, _ := p.dial(t.Context(), "", "")
		defer c.Close()
		began := time.Now()
		if _, err := io.WriteString(c, "GET /api/v1/silent HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		in := bufio.NewReader(c)
		if _, err := http.ReadResponse(in, nil); err != nil {
			t.Fatal(err)
		}
		for beats := 0; beats < 100; { // the stream stays open as long as the client reads
			line, err := in.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(line, ": alive") {
				beats++
			}
		}
		if kept := time.Since(began); kept < 99*heartbeat {
			t.Errorf("100 heartbeats took %v", kept)
		}
		began = time.Now()
		<-ended
		if took := time.Since(began); took > heartbeat+31*time.Second {
			t.Errorf("a client that does not read was connected for %v", took)
		}
	})
}

// TestPaceOverEveryProtocol uses real connections, including HTTP/3.
func TestPaceOverEveryProtocol(t *testing.T) {
	t.Parallel()
	log := slog.New(slog.DiscardHandler)
	_, h := newAPI(context.Background(), newEngine(t), log, http.NewServeMux())
	l, err := listen.Listen(listen.Address{Socket: "127.0.0.1:0", Dir: t.TempDir(), Pace: listen.Pace{Grace: 200 * time.Millisecond}}, log)
	if err != nil {
		t.Fatal(err)
	}
	refused, ended := make(chan error, 1), make(chan error, 1)
	mux := http.NewServeMux()
	mux.Handle("/", h)
	mux.HandleFunc("PUT /api/v1/read", func(_ http.ResponseWriter, r *http.Request) {
		_, err := readBody(r.Body, 1<<20)
		refused <- err
	})
	mux.HandleFunc("GET /api/v1/write", func(w http.ResponseWriter, _ *http.Request) {
		_, err := w.Write(make([]byte, 256<<20))
		ended <- err
	})
	l.Serve(mux)
	t.Cleanup(func() { _ = l.Close(context.Background()) })
	quic := &http3.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	t.Cleanup(func() { _ = quic.Close() })
	for protocol, c := range map[string]struct {
		base   string
		client *http.Client
	}{
		"HTTP/1.1": {"http://" + l.TCP(), &http.Client{Transport: &http.Transport{}}},
		"HTTP/2":   {"http://" + l.TCP(), h2c(t)},
		"HTTP/3":   {"https://" + l.UDP(), &http.Client{Transport: quic}},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		req, err := http.NewRequestWithContext(ctx, http.MethodPut, c.base+"/api/v1/read", &stall{1000, ctx.Done()})
		if err != nil {
			t.Fatal(err)
		}
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			if resp, err := c.client.Do(req); err == nil {
				_ = resp.Body.Close()
			}
		}()
		if err := <-refused; !errors.Is(err, reply.ErrSlow) {
			t.Errorf("%s: a stalled body: %v", protocol, err)
		}
		if req, err = http.NewRequestWithContext(ctx, http.MethodGet, c.base+"/api/v1/write", nil); err != nil {
			t.Fatal(err)
		}
		resp, err := c.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: an answer that is not read: %v", protocol, err)
		}
		_ = resp.Body.Close()
		cancel()
		<-sent
		c.client.CloseIdleConnections()
	}
}
