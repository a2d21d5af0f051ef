package effect_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/net/http2"

	"github.com/flawless-engine/flawless/internal/effect"
)

// obliging answers each request over an HTTP/2 connection with 200, and counts them.
func obliging(seen *atomic.Int64, settings ...http2.Setting) func(f *http2.Framer) {
	return func(f *http2.Framer) {
		_ = f.WriteSettings(settings...)
		for {
			frame, err := f.ReadFrame()
			if err != nil {
				return
			}
			if h, ok := frame.(*http2.HeadersFrame); ok {
				seen.Add(1)
				_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: h.StreamID, BlockFragment: []byte{0x88}, EndStream: true, EndHeaders: true})
			}
		}
	}
}

// watched is a connection that reports when it is closed.
type watched struct {
	net.Conn
	once sync.Once
	gone chan struct{}
}

func (w *watched) Close() error {
	defer w.once.Do(func() { close(w.gone) })
	return w.Conn.Close()
}

// watching returns a dial function that makes watched connections and sends them to all.
func watching(all chan<- *watched) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		raw, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		w := &watched{Conn: raw, gone: make(chan struct{})}
		all <- w
		return w, nil
	}
}

// A connection on which a call has timed out takes no other calls. Those under way continue.
func TestHTTP2ConnectionIsLeftAfterATimeout(t *testing.T) {
	t.Parallel()
	held, release := make(chan struct{}), make(chan struct{})
	s, cfg := secure(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/held":
			close(held)
			<-release
		case "/silent":
			<-r.Context().Done()
		}
		_, _ = io.WriteString(w, r.RemoteAddr)
	}), true)
	conns := make(chan *watched, 10)
	c := newClient(t, effect.ClientOptions{TLS: cfg, Dial: watching(conns)})
	first := make(chan effect.Result)
	go func() { first <- perform(t, c, call("", "method", "POST", "url", s.URL+"/held")) }()
	<-held
	for range 2 {
		r := perform(t, c, call("", "method", "POST", "url", s.URL+"/silent", "timeout_ms", 1000))
		if r.Outcome != effect.Unknown || !strings.Contains(r.Text, "longer than 1s") {
			t.Fatalf("outcome %d: %s", r.Outcome, r.Text)
		}
	}
	third := perform(t, c, call("", "method", "POST", "url", s.URL))
	close(release)
	r := <-first
	if r.Outcome != effect.Answered || third.Outcome != effect.Answered || string(r.Answer.Body) == string(third.Answer.Body) {
		t.Errorf("the call under way: %s, %q; the one after the timeouts: %s, %q", r.Text, r.Answer.Body, third.Text, third.Answer.Body)
	}
	if len(conns) != 3 {
		t.Fatalf("%d connections, want one for each timeout and one for what came after", len(conns))
	}
	<-(<-conns).gone
	<-(<-conns).gone
	if r := perform(t, c, call("", "method", "POST", "url", s.URL)); string(r.Answer.Body) != string(third.Answer.Body) {
		t.Errorf("the good connection is not used again: %s", r.Text)
	}
}

func TestHTTP2RefusedHeadersAreNotSent(t *testing.T) {
	t.Parallel()
	var seen atomic.Int64
	addr, cfg := framed(t, obliging(&seen, http2.Setting{ID: http2.SettingMaxHeaderListSize, Val: 2000}))
	conns := make(chan *watched, 10)
	c := newClient(t, effect.ClientOptions{TLS: cfg, Dial: watching(conns)})
	small := call("x", "method", "POST", "url", "https://"+addr)
	if r := perform(t, c, small); r.Outcome != effect.Answered {
		t.Fatal(r.Text)
	}
	r := perform(t, c, call("x", "method", "POST", "url", "https://"+addr, "headers", [][]string{{"X-Long", strings.Repeat("x", 2000)}}))
	h := headOf(t, r)
	if r.Outcome != effect.NotSent || stagesOf(r) != "connected failed" || h.Error == nil || h.Error.Reason != "headers" || !strings.Contains(r.Text, "larger than peer's advertised limit") {
		t.Errorf("outcome %d, stages %s, head %s", r.Outcome, stagesOf(r), r.Answer.Head)
	}
	if r := perform(t, c, small); r.Outcome != effect.Answered || seen.Load() != 2 || len(conns) != 1 {
		t.Errorf("after it: %s, seen %d times on %d connections", r.Text, seen.Load(), len(conns))
	}
}

// asked is a context that calls a function the first time its error is read.
type asked struct {
	context.Context
	once sync.Once
	f    func()
}

func (a *asked) Err() error {
	a.once.Do(a.f)
	return a.Context.Err()
}

// A connection that is closed after it was chosen has sent nothing, so another one may be used.
func TestHTTP2ClosedBeforeTheRequest(t *testing.T) {
	t.Parallel()
	var seen atomic.Int64
	addr, cfg := framed(t, obliging(&seen))
	conns := make(chan *watched, 10)
	c := newClient(t, effect.ClientOptions{TLS: cfg, Dial: watching(conns)})
	made := call("x", "method", "POST", "url", "https://"+addr)
	if r := perform(t, c, made); r.Outcome != effect.Answered {
		t.Fatal(r.Text)
	}
	kept := <-conns
	ctx := &asked{Context: t.Context(), f: func() {
		_ = kept.Conn.Close()
		<-kept.gone
	}}
	r := c.Perform(ctx, effect.Attempt{Run: "r", Call: made, N: 1})
	if r.Outcome != effect.Answered || stagesOf(r) != "connected sent answered" || seen.Load() != 2 || len(conns) != 1 {
		t.Errorf("outcome %d, stages %s, seen %d times, %d more connections: %s", r.Outcome, stagesOf(r), seen.Load(), len(conns), r.Text)
	}
}

// From the first byte of the headers, the outcome is unknown, even if the server receives none of them.
func TestHTTP2CutInTheHeaders(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 20} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			var seen, dialled atomic.Int64
			var conn *cutter
			addr, cfg := framed(t, obliging(&seen))
			c := newClient(t, effect.ClientOptions{TLS: cfg, Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
				if dialled.Add(1) > 1 {
					return nil, errors.New("only one connection")
				}
				raw, err := (&net.Dialer{}).DialContext(ctx, network, addr)
				conn = &cutter{Conn: raw, write: -1}
				return conn, err
			}})
			made := call("", "method", "POST", "url", "https://"+addr)
			if r := perform(t, c, made); r.Outcome != effect.Answered {
				t.Fatal(r.Text)
			}
			conn.mu.Lock()
			conn.write = conn.wrote + n
			conn.mu.Unlock()
			r := perform(t, c, made)
			if r.Outcome != effect.Unknown || stagesOf(r) != "connected sent failed" || seen.Load() != 1 || dialled.Load() != 1 {
				t.Errorf("outcome %d, stages %s, seen %d times on %d connections: %s", r.Outcome, stagesOf(r), seen.Load(), dialled.Load(), r.Text)
			}
		})
	}
}

// stuck is a connection whose writes block at some time.
type stuck struct {
	watched
	full atomic.Bool
}

func (s *stuck) Write(p []byte) (int, error) {
	if s.full.Load() {
		<-s.gone
		return 0, net.ErrClosed
	}
	return s.Conn.Write(p)
}

// A request that waits for others to be written may still be written after its deadline.
func TestHTTP2TimeoutBeforeTheHeaders(t *testing.T) {
	t.Parallel()
	var seen atomic.Int64
	var conn *stuck
	addr, cfg := framed(t, obliging(&seen))
	c := newClient(t, effect.ClientOptions{TLS: cfg, Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		raw, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		conn = &stuck{watched: watched{Conn: raw, gone: make(chan struct{})}}
		return conn, err
	}})
	if r := perform(t, c, call("", "method", "POST", "url", "https://"+addr)); r.Outcome != effect.Answered {
		t.Fatal(r.Text)
	}
	conn.full.Store(true)
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			r := perform(t, c, call("", "method", "POST", "url", "https://"+addr, "timeout_ms", 1000))
			if r.Outcome != effect.Unknown || stagesOf(r) != "connected sent failed" {
				t.Errorf("outcome %d, stages %s: %s", r.Outcome, stagesOf(r), r.Text)
			}
		})
	}
	wg.Wait()
}
