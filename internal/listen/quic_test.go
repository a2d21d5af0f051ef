package listen

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// overQUIC serves h over HTTP/3 and returns the address.
func overQUIC(t *testing.T, a Address, h http.HandlerFunc) string {
	t.Helper()
	a.Socket, a.Dir = "127.0.0.1:0", t.TempDir()
	l, err := Listen(a, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	l.Serve(h)
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = l.Close(ctx)
	})
	return l.UDP()
}

// dialQUIC opens a connection that stays alive without any request.
func dialQUIC(t *testing.T, at string, sessions tls.ClientSessionCache) *quic.Conn {
	t.Helper()
	c, err := quic.DialAddrEarly(t.Context(), at, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{http3.NextProtoH3}, ClientSessionCache: sessions},
		&quic.Config{KeepAlivePeriod: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.CloseWithError(0, "") })
	return c
}

// TestQUICConnectionWithoutRequestIsClosed begins the headers of a request and never ends them. A request that is being
// answered keeps its connection.
func TestQUICConnectionWithoutRequestIsClosed(t *testing.T) {
	t.Parallel()
	began, goOn := make(chan bool), make(chan bool)
	at := overQUIC(t, Address{silence: 300 * time.Millisecond}, func(w http.ResponseWriter, _ *http.Request) {
		began <- true
		<-goOn
		_, _ = io.WriteString(w, "served")
	})
	busy := &http3.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	t.Cleanup(func() { _ = busy.Close() })
	answered := make(chan error, 1)
	go func() {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+at+"/", nil)
		res, err := busy.RoundTrip(req)
		if err == nil {
			_, err = io.ReadAll(res.Body)
			_ = res.Body.Close()
		}
		answered <- err
	}()
	<-began
	slow := dialQUIC(t, at, nil)
	stream, err := slow.OpenStreamSync(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Write([]byte{0x01, 0x20, 0x00}); err != nil { // a HEADERS frame of 32 bytes, of which one comes
		t.Fatal(err)
	}
	select {
	case <-slow.Context().Done():
	case <-time.After(10 * time.Second):
		t.Error("the connection without a request is still open")
	}
	var closed *quic.ApplicationError
	if err := context.Cause(slow.Context()); !errors.As(err, &closed) || closed.ErrorCode != quic.ApplicationErrorCode(http3.ErrCodeNoError) {
		t.Errorf("the connection without a request ended with %v", err)
	}
	close(goOn)
	if err := <-answered; err != nil {
		t.Errorf("the request that took longer: %v", err)
	}
}

// TestQUICConnectionsAreLimited opens more connections than are allowed, closes one, and opens another.
func TestQUICConnectionsAreLimited(t *testing.T) {
	t.Parallel()
	at := overQUIC(t, Address{maxQUIC: 2}, func(http.ResponseWriter, *http.Request) {})
	first := dialQUIC(t, at, nil)
	// A client sees the end of the handshake before the server counts the connection, but an answer only afterwards.
	for _, conn := range []*quic.Conn{first, dialQUIC(t, at, nil)} {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+at+"/", nil)
		res, err := new(http3.Transport).NewClientConn(conn).RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
	}
	third, err := quic.DialAddr(t.Context(), at, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{http3.NextProtoH3}}, nil)
	if err == nil { // the refusal may come after the handshake
		select {
		case <-third.Context().Done():
		case <-time.After(10 * time.Second):
			t.Fatal("a third connection is accepted")
		}
	}
	_ = first.CloseWithError(0, "")
	late := time.After(10 * time.Second)
	for {
		next := &http3.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+at+"/", nil)
		res, err := next.RoundTrip(req)
		if err == nil {
			_ = res.Body.Close()
		}
		_ = next.Close()
		if err == nil {
			return
		}
		select {
		case <-late:
			t.Fatalf("no connection is accepted after one was closed: %v", err)
		default:
		}
	}
}

// sessions keeps the ticket with which a client could send early data.
type sessions struct {
	tls.ClientSessionCache
	came chan bool
}

func (s *sessions) Put(key string, state *tls.ClientSessionState) {
	s.ClientSessionCache.Put(key, state)
	if state != nil {
		select {
		case s.came <- true:
		default:
		}
	}
}

// TestEarlyDataIsRefused: whoever is between client and server could send it a second time.
func TestEarlyDataIsRefused(t *testing.T) {
	t.Parallel()
	at := overQUIC(t, Address{}, func(http.ResponseWriter, *http.Request) {})
	kept := &sessions{tls.NewLRUClientSessionCache(1), make(chan bool, 1)}
	first := dialQUIC(t, at, kept)
	select {
	case <-kept.came:
	case <-time.After(10 * time.Second):
		t.Fatal("no ticket came")
	}
	_ = first.CloseWithError(0, "")
	second := dialQUIC(t, at, kept)
	<-second.HandshakeComplete()
	if s := second.ConnectionState(); !s.TLS.DidResume || s.Used0RTT {
		t.Errorf("the connection is resumed: %v, with early data: %v", s.TLS.DidResume, s.Used0RTT)
	}
}
