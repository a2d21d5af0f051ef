package peer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

// server is a node of a test. It does what its function says.
type server struct {
	*Peer
	row   flawless.Node
	key   *Key
	lease *store.Lease
	does  func(ctx context.Context, op string, request []byte) ([]byte, error)
}

func (s *server) Serve(ctx context.Context, op string, request []byte) ([]byte, error) {
	return s.does(ctx, op, request)
}

func open(t *testing.T) *store.Store {
	t.Helper()
	st, err := store.Open(t.Context(), mem.New())
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// join makes a node that owns some shards.
func join(t *testing.T, st *store.Store, name string, shards ...store.Shard) *server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{}
	if s.key, err = NewKey(); err != nil {
		t.Fatal(err)
	}
	s.row = flawless.Node{ID: name, Name: name, Address: l.Addr().String(), Beat: 1, Fingerprint: s.key.Fingerprint()}
	if err := st.PutNode(t.Context(), nil, &s.row); err != nil {
		t.Fatal(err)
	}
	s.claim(t, st, shards...)
	s.does = func(_ context.Context, op string, request []byte) ([]byte, error) {
		return fmt.Appendf(nil, "%s %s %s", name, op, request), nil
	}
	s.Peer = New(Options{Store: st, Self: name, Key: s.key, Listener: l})
	s.Peer.Serve(Service{Engine: s, API: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = fmt.Fprintf(w, "%s %s %s %s", name, r.Method, r.URL.Path, body)
	})})
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = s.Close(ctx)
	})
	return s
}

func (s *server) claim(t *testing.T, st *store.Store, shards ...store.Shard) {
	t.Helper()
	if len(shards) == 0 {
		return
	}
	if s.lease == nil {
		s.lease = store.NewLease(s.row.ID, nil)
	}
	if err := st.Extend(t.Context(), s.lease, shards...); err != nil {
		t.Fatal(err)
	}
}

// owned answers like an engine that owns what its lease says.
func (s *server) owned(sh store.Shard) {
	does := s.does
	s.does = func(ctx context.Context, op string, request []byte) ([]byte, error) {
		if s.lease == nil || !s.lease.Owns(sh) {
			return nil, &store.ElsewhereError{Shard: sh}
		}
		return does(ctx, op, request)
	}
}

func TestAskReachesTheOwner(t *testing.T) {
	t.Parallel()
	st := open(t)
	a, b := join(t, st, "a", 1), join(t, st, "b", 2)
	for _, tc := range []struct {
		from  *server
		shard store.Shard
		want  string
	}{{a, 2, "b echo hi"}, {b, 1, "a echo hi"}} {
		got, err := tc.from.Ask(t.Context(), tc.shard, "echo", []byte("hi"))
		if err != nil || string(got) != tc.want {
			t.Errorf("%s asked the owner of shard %d: %q, %v", tc.from.row.Name, tc.shard, got, err)
		}
	}
	if _, err := a.Ask(t.Context(), 1, "echo", nil); !errors.Is(err, flawless.Elsewhere) {
		t.Errorf("a asked itself: %v", err)
	}
	if _, err := a.Ask(t.Context(), 3, "echo", nil); !errors.Is(err, flawless.Elsewhere) {
		t.Errorf("a asked the owner of a shard without one: %v", err)
	}
}

func TestErrorsKeepTheirCode(t *testing.T) {
	t.Parallel()
	st := open(t)
	a, b := join(t, st, "a"), join(t, st, "b", 2)
	for _, code := range []flawless.Code{flawless.NotFound, flawless.Conflict, flawless.Invalid, flawless.Stopping, flawless.Full, flawless.Damaged, ""} {
		want := errors.New("it broke")
		if code != "" {
			want = fmt.Errorf("it did not work: %w", code)
		}
		b.does = func(context.Context, string, []byte) ([]byte, error) { return nil, want }
		if _, err := a.Ask(t.Context(), 2, "echo", nil); flawless.CodeOf(err) != code || err.Error() != want.Error() {
			t.Errorf("the owner answered %v, Ask returned %v", want, err)
		}
	}
}

func TestAskFollowsAShardThatMoves(t *testing.T) {
	t.Parallel()
	st := open(t)
	a, b, c := join(t, st, "a"), join(t, st, "b", 2), join(t, st, "c")
	for _, s := range []*server{a, b, c} {
		s.owned(2)
	}
	if got, err := a.Ask(t.Context(), 2, "echo", nil); err != nil || string(got) != "b echo " {
		t.Fatalf("before: %q, %v", got, err)
	}
	c.claim(t, st, 2)
	b.lease.Drop(2)
	if got, err := a.Ask(t.Context(), 2, "echo", nil); err != nil || string(got) != "c echo " {
		t.Errorf("after it had moved: %q, %v", got, err)
	}
}

// TestNobodyPassesARequestOn has two nodes that think the other one is the owner.
func TestNobodyPassesARequestOn(t *testing.T) {
	t.Parallel()
	st := open(t)
	a, b := join(t, st, "a"), join(t, st, "b", 2)
	var asked atomic.Int32
	b.does = func(context.Context, string, []byte) ([]byte, error) {
		asked.Add(1)
		return nil, &store.ElsewhereError{Shard: 2}
	}
	if _, err := a.Ask(t.Context(), 2, "echo", nil); !errors.Is(err, flawless.Elsewhere) {
		t.Errorf("Ask returned %v", err)
	}
	if n := asked.Load(); n > 3 {
		t.Errorf("the owner was asked %d times", n)
	}
}

func TestAskRepeatsNothingThatWasSent(t *testing.T) {
	t.Parallel()
	st := open(t)
	a, b := join(t, st, "a"), join(t, st, "b", 2)
	if _, err := a.Ask(t.Context(), 2, "echo", nil); err != nil { // a connection that is used again is the one that net/http repeats on
		t.Fatal(err)
	}
	var asked atomic.Int32
	b.does = func(context.Context, string, []byte) ([]byte, error) {
		asked.Add(1)
		_ = b.http.Close()
		return nil, nil
	}
	if _, err := a.Ask(t.Context(), 2, "echo", []byte("hi")); !errors.Is(err, flawless.Elsewhere) || errors.Is(err, ErrUnsent) {
		t.Errorf("the connection broke: %v", err)
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("the owner was asked %d times", n)
	}
	if _, err := a.Ask(t.Context(), 2, "echo", nil); !errors.Is(err, ErrUnsent) {
		t.Errorf("nobody listens: %v", err)
	}
}

func TestOnlyLivingNodesAreTrusted(t *testing.T) {
	t.Parallel()
	st := open(t)
	a, b := join(t, st, "a"), join(t, st, "b", 2)
	if _, err := a.Ask(t.Context(), 2, "echo", nil); err != nil {
		t.Fatal(err)
	}
	stranger, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	out := newLinks(stranger)
	t.Cleanup(out.close)
	post := func(l *links, n flawless.Node) error {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+n.Address+"/ask/echo", strings.NewReader("hi"))
		if err != nil {
			t.Fatal(err)
		}
		res, err := l.roundTrip(n, r)
		if err == nil {
			_ = res.Body.Close()
			if res.StatusCode != http.StatusOK {
				err = fmt.Errorf("status %d", res.StatusCode)
			}
		}
		return err
	}
	b.does = func(context.Context, string, []byte) ([]byte, error) {
		t.Error("a stranger was answered")
		return nil, nil
	}
	if err := post(out, b.row); err == nil {
		t.Error("a key that is in no row was accepted")
	}
	if err := post(a.links, flawless.Node{ID: "x", Address: b.row.Address, Fingerprint: stranger.Fingerprint()}); err == nil {
		t.Error("a accepted another certificate than that of the row")
	}
	if err := post(a.links, flawless.Node{ID: "y", Address: b.row.Address}); err == nil {
		t.Error("a accepted a node without a fingerprint")
	}
	dead := a.row
	dead.Dead = true
	if err := st.PutNode(t.Context(), &a.row, &dead); err != nil {
		t.Fatal(err)
	}
	if _, err := b.known.get(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	for range 2 { // over the connection that it has, and over another one
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "/api/v1/runs", nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.Send(b.row, r); !errors.Is(err, ErrUnsent) { // its client must not be given that answer
			t.Errorf("a node that was called dead passed a request on: %v", err)
		}
	}
	if err := post(a.links, b.row); err == nil {
		t.Error("a node that was called dead was answered")
	}
}

// TestStrangersCannotUseUpConnections opens connections that never show a certificate. The oldest ones are closed long before
// their time, and nodes still reach each other.
func TestStrangersCannotUseUpConnections(t *testing.T) {
	t.Parallel()
	st := open(t)
	a, b := join(t, st, "a", 1), join(t, st, "b", 2)
	var all []net.Conn
	for range maxUnknown + 20 {
		c, err := net.Dial("tcp", b.row.Address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		all = append(all, c)
	}
	_ = all[0].SetReadDeadline(time.Now().Add(5 * time.Second))
	var late net.Error
	if _, err := all[0].Read(make([]byte, 1)); err == nil || errors.As(err, &late) && late.Timeout() {
		t.Errorf("the first of too many connections is open: %v", err)
	}
	if got, err := a.Ask(t.Context(), 2, "echo", []byte("hi")); err != nil || string(got) != "b echo hi" {
		t.Errorf("a node asked beside %d strangers: %q, %v", len(all), got, err)
	}
	for range 20 { // it keeps the connection of a node
		c, err := net.Dial("tcp", b.row.Address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	a.links.mu.Lock()
	kept := a.links.open["b"]
	a.links.mu.Unlock()
	if _, err := a.Ask(t.Context(), 2, "echo", []byte("again")); err != nil || kept == nil || kept.Err() != nil {
		t.Errorf("the connection of a node is closed: %v", err)
	}
}

// TestRefusedCertificatesAreLoggedNowAndThen: anybody can connect, and must not fill the log.
func TestRefusedCertificatesAreLoggedNowAndThen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		s := &strangers{log: slog.New(slog.NewTextHandler(&log, nil))}
		for range 1000 {
			s.refuse()
		}
		time.Sleep(time.Minute)
		s.refuse()
		if got := log.String(); strings.Count(got, "\n") != 2 || !strings.Contains(got, "refused=1000") {
			t.Errorf("the log is %s", got)
		}
	})
}

func TestConnectionsEndWithTheRow(t *testing.T) {
	t.Parallel()
	st := open(t)
	a, b := join(t, st, "a"), join(t, st, "b", 2)
	began := make(chan struct{})
	b.does = func(ctx context.Context, _ string, _ []byte) ([]byte, error) {
		close(began)
		<-ctx.Done()
		return nil, ctx.Err()
	}
	failed := make(chan error)
	go func() {
		_, err := a.Ask(t.Context(), 2, "echo", nil)
		failed <- err
	}()
	<-began
	if err := st.PutNode(t.Context(), &b.row, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := a.known.get(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := <-failed; !errors.Is(err, flawless.Elsewhere) {
		t.Errorf("Ask returned %v", err)
	}
}

// TestANodeThatHangsIsGivenUp has a node that accepts connections and never says anything.
func TestANodeThatHangsIsGivenUp(t *testing.T) {
	t.Parallel()
	st := open(t)
	a := join(t, st, "a")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	row := flawless.Node{ID: "b", Name: "b", Address: l.Addr().String(), Beat: 1, Fingerprint: a.row.Fingerprint}
	if err := st.PutNode(t.Context(), nil, &row); err != nil {
		t.Fatal(err)
	}
	if err := st.Extend(t.Context(), store.NewLease("b", nil), 2); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if _, err := a.Ask(t.Context(), 2, "echo", nil); !errors.Is(err, ErrUnsent) || !errors.Is(err, flawless.Elsewhere) {
		t.Errorf("Ask returned %v", err)
	}
	if d := time.Since(began); d > 2*dialTime {
		t.Errorf("it took %v", d)
	}
}

func TestSendPassesRequestsOfTheAPI(t *testing.T) {
	t.Parallel()
	st := open(t)
	a := join(t, st, "a")
	join(t, st, "b", 2)
	others, err := a.Others(t.Context())
	if err != nil || len(others) != 1 || others[0].ID != "b" {
		t.Fatalf("the others are %v, %v", others, err)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "/api/v1/x%2Fy", strings.NewReader("hi"))
	if err != nil {
		t.Fatal(err)
	}
	res, err := a.Send(others[0], r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if got, _ := io.ReadAll(res.Body); string(got) != "b PUT /api/v1/x/y hi" {
		t.Errorf("the answer is %q", got)
	}
}

// TestStartingNodeHasSeenNothing: a node listens before it can serve the API. What it says then is not for clients.
func TestStartingNodeHasSeenNothing(t *testing.T) {
	t.Parallel()
	st := open(t)
	a := join(t, st, "a")
	b := join(t, st, "b", 2)
	for name, s := range map[string]*Service{"nothing": nil, "only the engine": {Engine: b}} {
		b.service.Store(s)
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "/api/v1/runs", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		if res, err := a.Send(b.row, r); !errors.Is(err, ErrUnsent) || !strings.Contains(err.Error(), "node b has not started yet") {
			t.Errorf("with %s: %v, %v", name, res, err)
		}
	}
}
