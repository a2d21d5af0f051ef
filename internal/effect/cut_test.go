package effect_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/flawless-engine/flawless/internal/effect"
)

// cutter is a connection that breaks after a number of written bytes.
type cutter struct {
	net.Conn
	mu    sync.Mutex
	write int // bytes that may be written, -1 is unlimited
	wrote int
}

func (c *cutter) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.write < 0 || len(p) <= c.write-c.wrote {
		n, err := c.Conn.Write(p)
		c.wrote += n
		return n, err
	}
	n, _ := c.Conn.Write(p[:c.write-c.wrote])
	c.wrote += n
	_ = c.Conn.Close()
	return n, errors.New("cut")
}

const (
	lengthResponse  = "HTTP/1.1 200 OK\r\nContent-Length: 11\r\nX-A: b\r\n\r\nhello world"
	chunkedResponse = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
)

func TestResponseCutAtEveryByte(t *testing.T) {
	t.Parallel()
	for _, response := range []string{lengthResponse, chunkedResponse} {
		for n := range len(response) + 1 {
			addr := rawServer(t, func(c net.Conn) {
				if _, _, ok := readRequest(bufio.NewReader(c)); ok {
					_, _ = io.WriteString(c, response[:n])
				}
			})
			r := perform(t, newClient(t, effect.ClientOptions{}), call("x", "method", "POST", "url", "http://"+addr))
			want := effect.Unknown
			if n == len(response) {
				want = effect.Answered
			}
			if r.Outcome != want {
				t.Errorf("cut after %d of %d bytes of %q: outcome %d, want %d: %s", n, len(response), response, r.Outcome, want, r.Text)
			}
			if want == effect.Answered && string(r.Answer.Body) != "hello world" {
				t.Errorf("body %q", r.Answer.Body)
			}
			body := len(response) - len("hello world")
			if h := headOf(t, r); response == lengthResponse && n >= body && want == effect.Unknown && (h.Error == nil || h.Error.Status != 200) {
				t.Errorf("cut after %d bytes, in the body: head %s, want the status", n, r.Answer.Head)
			}
		}
	}
}

func TestRequestCutAtEveryByte(t *testing.T) {
	t.Parallel()
	for _, kept := range []bool{false, true} {
		for n, done := 0, false; !done; n++ {
			var bytes, whole atomic.Int64
			finished := make(chan struct{}, 2)
			addr := rawServer(t, func(c net.Conn) {
				in := bufio.NewReader(c)
				if kept {
					if req, _, ok := readRequest(in); ok && req.URL.Path == "/warm" {
						_, _ = io.WriteString(c, plainOK)
					} else {
						t.Error("no request to warm the connection up")
					}
				}
				if _, err := in.Peek(1); err == nil {
					bytes.Add(1)
				}
				if _, _, ok := readRequest(in); ok {
					whole.Add(1)
					_, _ = io.WriteString(c, plainOK)
				}
				finished <- struct{}{}
			})
			var conn *cutter
			c := effect.NewClient(effect.ClientOptions{Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
				if conn != nil {
					return nil, errors.New("only one connection")
				}
				raw, err := (&net.Dialer{}).DialContext(ctx, network, addr)
				conn = &cutter{Conn: raw, write: n}
				if kept {
					conn.write = -1
				}
				return conn, err
			}}, nil)
			if kept {
				if r := perform(t, c, call("", "method", "POST", "url", "http://"+addr+"/warm")); r.Outcome != effect.Answered {
					t.Fatal(r.Text)
				}
				conn.write = conn.wrote + n
			}
			r := perform(t, c, call("hello", "method", "POST", "url", "http://"+addr))
			c.Close()
			<-finished
			want := effect.Unknown
			switch {
			case bytes.Load() == 0:
				want = effect.NotSent
			case whole.Load() == 1:
				want, done = effect.Answered, true
			}
			if r.Outcome != want || (n == 0) != (want == effect.NotSent) {
				t.Errorf("kept %v, cut after %d bytes: outcome %d, want %d: %s", kept, n, r.Outcome, want, r.Text)
			}
			if n > 1000 {
				t.Fatal("the request never arrived")
			}
		}
	}
}

func TestTLSCutAtEveryByte(t *testing.T) {
	t.Parallel()
	for _, h2 := range []bool{false, true} {
		var counts sync.Map
		s, cfg := secure(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			count, _ := counts.LoadOrStore(r.URL.Path, new(atomic.Int64))
			count.(*atomic.Int64).Add(1)
			_, _ = io.Copy(w, r.Body)
		}), h2)
		for n, done := 0, false; !done; n += 7 {
			path := fmt.Sprint("/", n)
			c := effect.NewClient(effect.ClientOptions{TLS: cfg, Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
				raw, err := (&net.Dialer{}).DialContext(ctx, network, addr)
				return &cutter{Conn: raw, write: n}, err
			}}, nil)
			r := perform(t, c, call("hello", "method", "POST", "url", s.URL+path, "timeout_ms", 10000))
			c.Close()
			count, _ := counts.LoadOrStore(path, new(atomic.Int64))
			seen := count.(*atomic.Int64).Load()
			done = r.Outcome == effect.Answered
			if r.Outcome == effect.NotSent && seen > 0 || seen > 1 {
				t.Errorf("h2 %v, cut after %d bytes: outcome %d, seen %d times: %s", h2, n, r.Outcome, seen, r.Text)
			}
			if done && string(r.Answer.Body) != "hello" {
				t.Errorf("body %q", r.Answer.Body)
			}
			if n > 10000 {
				t.Fatal("the request never arrived")
			}
		}
	}
}

func TestTLSWithoutCloseNotifyIsCutOff(t *testing.T) {
	t.Parallel()
	s, cfg := secure(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, buf, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = buf.WriteString("HTTP/1.1 200 OK\r\n\r\nhalf of it")
		_ = buf.Flush()
		_ = conn.(interface{ NetConn() net.Conn }).NetConn().Close()
	}), false)
	r := perform(t, newClient(t, effect.ClientOptions{TLS: cfg}), call("", "method", "POST", "url", s.URL))
	if h := headOf(t, r); r.Outcome != effect.Unknown || h.Error == nil || h.Error.Status != 200 {
		t.Errorf("outcome %d, head %s", r.Outcome, r.Answer.Head)
	}
}

func TestHTTP2CutInTheBody(t *testing.T) {
	t.Parallel()
	s, cfg := secure(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "half of it")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}), true)
	r := perform(t, newClient(t, effect.ClientOptions{TLS: cfg}), call("", "method", "POST", "url", s.URL))
	if h := headOf(t, r); r.Outcome != effect.Unknown || h.Error == nil || h.Error.Status != 200 {
		t.Errorf("outcome %d, head %s", r.Outcome, r.Answer.Head)
	}
}
