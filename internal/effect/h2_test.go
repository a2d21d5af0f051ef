package effect_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/flawless-engine/flawless/internal/effect"
)

// watched is a connection that tells when it is closed.
type watched struct {
	net.Conn
	once sync.Once
	gone chan struct{}
}

func (w *watched) Close() error {
	defer w.once.Do(func() { close(w.gone) })
	return w.Conn.Close()
}

// watching returns a dial whose connections are watched, and sent to all.
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

// A connection over which a call has timed out takes no other. What is under way on it goes on.
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
