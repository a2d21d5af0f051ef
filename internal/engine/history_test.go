package engine

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/guest"
	"github.com/flawless-engine/flawless/internal/ring"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

// forgetful is a database that can lose its newest writes.
type forgetful struct {
	store.KV
	mu      sync.Mutex
	batches []*store.Batch // all that have taken effect
	ring    *ring.Ring
	losses  []store.Loss
}

func (f *forgetful) Apply(ctx context.Context, b *store.Batch) error {
	_, err := f.ApplyAt(ctx, b)
	return err
}

func (f *forgetful) ApplyAt(ctx context.Context, b *store.Batch) (store.Position, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.KV.Apply(ctx, b); err != nil {
		return store.Position{}, err
	}
	kept := &store.Batch{}
	for _, it := range b.Set {
		kept.Set = append(kept.Set, store.Item{Key: bytes.Clone(it.Key), Value: bytes.Clone(it.Value)})
	}
	for _, k := range b.Delete {
		kept.Delete = append(kept.Delete, bytes.Clone(k))
	}
	f.batches = append(f.batches, kept)
	n := int64(len(f.batches))
	f.ring.Acknowledge(0, n)
	return store.Position{N: n}, nil
}

func (f *forgetful) Losses(context.Context) ([]store.Loss, error) { return f.losses, nil }

func (f *forgetful) Settle(context.Context, store.Loss) error {
	f.losses = nil
	return nil
}

// lose returns the database without its newest writes, as the next server finds it.
func (f *forgetful) lose(t *testing.T, left int, r *ring.Ring) *forgetful {
	t.Helper()
	next := &forgetful{KV: mem.New(), ring: r, batches: f.batches, losses: []store.Loss{{Own: true, Why: "a test", Left: []int64{int64(left)}}}}
	for _, b := range f.batches[:left] {
		if err := next.KV.Apply(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	return next
}

func openRing(t *testing.T, dir string) *ring.Ring {
	t.Helper()
	r, err := ring.Open(dir, "database")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// remembering opens an engine over a database that can lose writes.
func remembering(t *testing.T, kv *forgetful) *Engine {
	t.Helper()
	s, err := store.Open(t.Context(), kv)
	if err != nil {
		t.Fatal(err)
	}
	f := fixture()
	e, err := Open(t.Context(), Options{Store: s, Guest: f.runtime, Loaded: []*guest.Module{f.module}, Memory: -1, Ring: kv.ring, Kinds: effect.Kinds(effect.Options{}),
		Log: slog.New(slog.NewTextHandler(testWriter{t}, nil))})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := e.AddModule(t.Context(), "guest", f.bin, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Kill)
	return e
}

// TestLoseEverywhere lets a run with every kind of call complete, and then lets the database lose its newest writes, at each
// of its writes. No call is made a second time that must not be, and with the right decisions the run completes.
func TestLoseEverywhere(t *testing.T) {
	t.Parallel()
	for left, more := 0, true; more; left++ {
		name := fmt.Sprintf("all but the first %d writes of the run", left)
		out, dir := newOutside(t), t.TempDir()
		begin := Start{Module: "guest", Workflow: "everything", Input: input(t, map[string]any{"url": out.URL, "dead": deadURL}), ID: "run"}
		first := &forgetful{KV: mem.New(), ring: openRing(t, dir)}
		e := remembering(t, first)
		before := len(first.batches)
		if _, _, err := e.Start(t.Context(), begin); err != nil {
			t.Fatal(err)
		}
		until(t, e, "run", func(r flawless.Run) bool { return r.Status.Ended() })
		e.Kill()
		if err := first.ring.Close(); err != nil {
			t.Fatal(err)
		}
		if more = before+left < len(first.batches); !more {
			if left < 6 {
				t.Errorf("the run took only %d writes, too few to prove anything", left)
			}
			break
		}
		second := first.lose(t, before+left, openRing(t, dir))
		e = remembering(t, second)
		if e.History().Open {
			t.Fatalf("%s: it asks although it knows all calls: %+v", name, e.History())
		}
		happened := func(request string) bool {
			_, path, _ := strings.Cut(request, out.URL)
			return out.count(path) > 0
		}
		took := false // something that is lost with its run
		for {
			r, err := e.Run(t.Context(), "run")
			if flawless.CodeOf(err) == flawless.NotFound {
				if r, _, err = e.Start(t.Context(), begin); err != nil {
					t.Fatalf("%s: starting again: %v", name, err)
				}
			}
			gone := r.Digest == ""
			r = until(t, e, "run", func(r flawless.Run) bool { return unresolved(r) || r.Status.Ended() })
			if r.Status.Ended() {
				if took != (r.Status == flawless.Failed) || !took && r.Status != flawless.Completed {
					t.Errorf("%s: it is %+v, something had happened: %v", name, r, took)
				}
				break
			}
			d := flawless.Decision{Call: r.Unresolved[0].Call, Resolution: flawless.Retry}
			if happened(r.Unresolved[0].Request) {
				d.Resolution, took = flawless.Respond, took || gone
				_, path, _ := strings.Cut(r.Unresolved[0].Request, out.URL)
				d.Body = []byte("did " + path)
			}
			if gone {
				if _, _, err := e.Start(t.Context(), begin); flawless.CodeOf(err) != flawless.Conflict {
					t.Errorf("%s: starting a run again that is lost: %v", name, err)
				}
			}
			if _, err := e.Resolve(t.Context(), "run", d); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		for _, path := range []string{"/once", "/told"} {
			if n := out.count(path); n != 1 {
				t.Errorf("%s: %s was seen %d times", name, path, n)
			}
		}
		e.Kill()
	}
}

// TestLossIsAQuestionForOtherServers: one that has lost nothing itself cannot know what another one has done that has
// stopped. Then all open runs are held that it has or gains.
func TestLossIsAQuestionForOtherServers(t *testing.T) {
	t.Parallel()
	out, dir := newOutside(t), t.TempDir()
	first := &forgetful{KV: mem.New(), ring: openRing(t, dir)}
	e := remembering(t, first)
	begin := func(id string) Start {
		return Start{Module: "guest", Workflow: "want", ID: id, Input: input(t, ops(receives(), op{"Post": out.URL + "/" + id}))}
	}
	ids := []string{"a", "b", "c", "d"}
	for _, id := range ids {
		if _, _, err := e.Start(t.Context(), begin(id)); err != nil {
			t.Fatal(err)
		}
	}
	left := len(first.batches)
	mustSend(t, e, "a", "go", "1")
	mustEnd(t, e, "a")
	e.Kill()
	if err := first.ring.Close(); err != nil {
		t.Fatal(err)
	}
	second := first.lose(t, left, openRing(t, dir))
	second.losses[0].Own, second.losses[0].Node = false, "another"
	s, err := store.Open(t.Context(), second)
	if err != nil {
		t.Fatal(err)
	}
	mine := store.ShardOf("b")
	if mine == store.ShardOf("a") {
		t.Fatal("both runs are in one shard")
	}
	f := fixture()
	e, err = Open(t.Context(), Options{Store: s, Guest: f.runtime, Loaded: []*guest.Module{f.module}, Memory: -1, Ring: second.ring, Kinds: effect.Kinds(effect.Options{}),
		Claim: store.ByForce(mine), Valid: func() bool { return true }, Log: slog.New(slog.NewTextHandler(testWriter{t}, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Kill()
	held := func(id string) {
		t.Helper()
		if r, err := e.Run(t.Context(), id); err != nil || r.Status != flawless.Paused || !r.Pause.Lost {
			t.Errorf("run %s is not held: %+v, %v", id, r, err)
		}
	}
	held("b")
	if err := e.Gain(t.Context(), store.ByForce(append(store.AllShards(), store.ShardOfCaps)...)); err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		held(id)
		mustSend(t, e, id, "go", "1")
	}
	if _, _, err := e.Start(t.Context(), begin("e")); flawless.CodeOf(err) != flawless.Conflict {
		t.Errorf("starting a run that may be lost: %v", err)
	}
	if _, err := e.Terminate(t.Context(), "a", flawless.Cancel{}); err != nil { // somebody has found out
		t.Fatal(err)
	}
	if _, err := e.Pause(t.Context(), "c", flawless.Pause{Resume: true}); err != nil {
		t.Fatal(err)
	}
	mustEnd(t, e, "c")
	if err := e.Release(t.Context(), store.ShardOf("d")); err != nil {
		t.Fatal(err)
	}
	if err := e.Gain(t.Context(), store.ByForce(store.ShardOf("d"))); err != nil {
		t.Fatal(err)
	}
	held("d")
	if _, err := e.AcceptHistory(t.Context(), "", ""); err != nil {
		t.Fatal(err)
	}
	if len(second.losses) > 0 {
		t.Errorf("after it was accepted, there is %+v", second.losses)
	}
	for _, id := range ids {
		mustEnd(t, e, id)
		if n := out.count("/" + id); n != 1 {
			t.Errorf("%s was seen %d times", id, n)
		}
	}
}

// TestLostCallsReachTheirOwners: the ring of a server has lost calls of runs that another server owns by now.
func TestLostCallsReachTheirOwners(t *testing.T) {
	t.Parallel()
	out, dir := newOutside(t), t.TempDir()
	first := &forgetful{KV: mem.New(), ring: openRing(t, dir)}
	e := remembering(t, first)
	begin := func(id string, ops ...op) {
		t.Helper()
		if _, _, err := e.Start(t.Context(), Start{Module: "guest", Workflow: "want", ID: id, Input: input(t, ops)}); err != nil {
			t.Fatal(err)
		}
	}
	call := func(id string) op { return op{"Post": out.URL + "/" + id} }
	begin("here", receives(), call("here"))
	begin("there", receives(), call("there"))
	begin("steady", receives(), call("steady"))
	left := len(first.batches)
	mustSend(t, e, "here", "go", "1")
	mustSend(t, e, "there", "go", "1")
	begin("gone", call("gone"), receives())
	for _, id := range []string{"here", "there"} {
		mustEnd(t, e, id)
	}
	until(t, e, "gone", func(r flawless.Run) bool { return r.Turns == 2 })
	e.Kill()
	if err := first.ring.Close(); err != nil {
		t.Fatal(err)
	}
	second := first.lose(t, left, openRing(t, dir))
	s, err := store.Open(t.Context(), second)
	if err != nil {
		t.Fatal(err)
	}
	m := newMesh(s)
	f := fixture()
	open := func(owner string, r *ring.Ring, shards ...store.Shard) *Engine {
		t.Helper()
		e, err := Open(t.Context(), Options{Store: s, Owner: owner, Guest: f.runtime, Loaded: []*guest.Module{f.module}, Memory: -1, Ring: r, Peers: m, Kinds: effect.Kinds(effect.Options{}),
			Claim: store.ByForce(shards...), Valid: func() bool { return true }, Log: slog.New(slog.NewTextHandler(testWriter{t}, nil))})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(e.Kill)
		return e
	}
	mine := []store.Shard{store.ShardOf("here")}
	others := slices.DeleteFunc(store.AllShards(), func(sh store.Shard) bool { return sh == mine[0] })
	if slices.Contains(mine, store.ShardOf("there")) || slices.Contains(mine, store.ShardOf("gone")) {
		t.Fatal("the runs are in one shard")
	}
	e = open("one", second.ring, mine...)
	if len(second.losses) != 1 {
		t.Errorf("it forgets the loss although others do not know of it: %+v", second.losses)
	}
	if err := e.Refresh(t.Context()); err != nil { // nobody is there
		t.Fatal(err)
	}
	losses := second.losses
	second.losses = nil // the other one has lost nothing
	other := open("two", nil, append(others, store.ShardOfCaps)...)
	second.losses = losses
	m.add(other)
	if err := e.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	for id, at := range map[string]*Engine{"here": e, "there": other, "gone": other} {
		if r, err := at.Run(t.Context(), id); err != nil || r.Status != flawless.Unresolved || len(r.Unresolved) != 1 || r.Unresolved[0].Request != "POST "+out.URL+"/"+id {
			t.Errorf("run %s is %+v, %v", id, r, err)
		}
	}
	if len(second.losses) > 0 || e.History().Open {
		t.Errorf("afterwards there is %+v, and the history is %+v", second.losses, e.History())
	}
	mustSend(t, other, "steady", "go", "1")
	mustEnd(t, other, "steady")
	for _, id := range []string{"here", "there", "gone", "steady"} {
		if n := out.count("/" + id); n != 1 {
			t.Errorf("%s was seen %d times", id, n)
		}
	}
}

// TestAnyServerAcceptsHistory: a question concerns runs of two servers that are at work. Both hold theirs, and when somebody
// accepts the history at one of them, the other one follows when it can.
func TestAnyServerAcceptsHistory(t *testing.T) {
	t.Parallel()
	s, err := store.Open(t.Context(), mem.New())
	if err != nil {
		t.Fatal(err)
	}
	m, f := newMesh(s), fixture()
	open := func(owner string, shards ...store.Shard) *Engine {
		t.Helper()
		e, err := Open(t.Context(), Options{Store: s, Owner: owner, Guest: f.runtime, Loaded: []*guest.Module{f.module}, Memory: -1, Peers: m, Kinds: effect.Kinds(effect.Options{}),
			Claim: store.ByForce(shards...), Valid: func() bool { return true }, Log: slog.New(slog.NewTextHandler(testWriter{t}, nil))})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(e.Kill)
		if err := s.PutNode(t.Context(), nil, &flawless.Node{ID: owner, Name: owner}); err != nil {
			t.Fatal(err)
		}
		m.add(e)
		return e
	}
	first, second := store.ShardOf("one"), store.ShardOf("two")
	if first == second {
		t.Fatal("both runs are in one shard")
	}
	others := slices.DeleteFunc(store.AllShards(), func(sh store.Shard) bool { return sh == first })
	a, b := open("a", first), open("b", append(others, store.ShardOfCaps)...)
	if _, _, err := b.AddModule(t.Context(), "guest", f.bin, nil); err != nil {
		t.Fatal(err)
	}
	owner := map[string]*Engine{"one": a, "two": b, "three": b}
	for id, e := range owner {
		if _, _, err := e.Start(t.Context(), Start{Module: "guest", Workflow: "want", ID: id, Input: input(t, ops(receives()))}); err != nil {
			t.Fatal(err)
		}
		until(t, e, id, func(r flawless.Run) bool { return r.Status == flawless.Waiting })
	}
	gone := flawless.HistoryRing{ID: "gone", Node: "gone", State: flawless.RingMissing, Why: "a test", Shards: []int{int(first), int(second)}}
	if _, err := s.ChangeHistory(t.Context(), func(h *flawless.History) bool {
		h.Open, h.Since, h.Rings = true, time.Now(), []flawless.HistoryRing{gone}
		return true
	}); err != nil {
		t.Fatal(err)
	}
	status := func(id string, want flawless.Status) {
		t.Helper()
		if r, err := owner[id].Run(t.Context(), id); err != nil || r.Status != want {
			t.Errorf("run %s is %s, want %s: %v", id, r.Status, want, err)
		}
	}
	refresh := func(e *Engine) {
		t.Helper()
		if err := e.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	refresh(a)
	refresh(b)
	status("one", flawless.Paused)
	status("two", flawless.Paused)
	status("three", flawless.Waiting)
	if h, err := b.ReadHistory(t.Context()); err != nil || h.Held != 2 || !strings.Contains(b.Health().History, "2 runs are held") {
		t.Errorf("the history is %+v, %v, and health says %q", h, err, b.Health().History)
	}
	brief, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if h, err := a.AcceptHistory(brief, "somebody", "looked"); err != nil || h.Open || len(h.Resuming) == 0 {
		t.Errorf("accepting it gives %+v, %v", h, err)
	}
	until(t, a, "one", func(r flawless.Run) bool { return r.Status == flawless.Waiting })
	status("two", flawless.Paused)
	if h, err := a.ReadHistory(t.Context()); err != nil || len(h.Waiting) != 1 || h.Waiting[0] != "node b (1 shards)" {
		t.Errorf("it waits for %v, %v", h.Waiting, err)
	}
	refresh(b)
	until(t, b, "two", func(r flawless.Run) bool { return r.Status == flawless.Waiting })
	if h, err := a.ReadHistory(t.Context()); err != nil || len(h.Resuming) > 0 || h.Who != "somebody" {
		t.Errorf("in the end the history is %+v, %v", h, err)
	}
	if h, err := b.AcceptHistory(t.Context(), "", ""); err != nil || h.Note != "looked" {
		t.Errorf("accepting it again gives %+v, %v", h, err)
	}
	for id, e := range owner {
		mustSend(t, e, id, "go", "1")
		mustEnd(t, e, id)
	}
}

// TestLeaseEndsDuringCalls: what the next owner repeats is cut off, and what nobody repeats runs on.
func TestLeaseEndsDuringCalls(t *testing.T) {
	t.Parallel()
	var valid atomic.Bool
	valid.Store(true)
	arrived, ended, release := make(chan string, 10), make(chan string, 10), make(chan struct{})
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // from then on the server notices when the connection breaks
		arrived <- r.URL.Path
		select {
		case <-r.Context().Done():
			ended <- r.URL.Path + " broke"
		case <-release:
			ended <- r.URL.Path + " went on"
		}
	}))
	server.Start()
	defer server.Close()
	kinds := effect.Kinds(effect.Options{HTTP: effect.NewClient(effect.ClientOptions{}, nil)})
	e, err := reopen(t, mem.New(), Options{Kinds: kinds, Valid: valid.Load})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Kill()
	if _, _, err := e.AddModule(t.Context(), "guest", fixture().bin, nil); err != nil {
		t.Fatal(err)
	}
	for _, how := range []string{"post", "put"} {
		in := map[string]any{"url": server.URL, "steps": []map[string]any{{how: "/" + how}}}
		if _, _, err := e.Start(t.Context(), Start{Module: "guest", Workflow: "script", Input: input(t, in), ID: how}); err != nil {
			t.Fatal(err)
		}
		<-arrived
	}
	valid.Store(false)
	if got := <-ended; got != "/put broke" {
		t.Errorf("first, the %s", got)
	}
	close(release)
	if got := <-ended; got != "/post went on" {
		t.Errorf("then, the %s", got)
	}
}

// TestNothingBeginsWithoutLease: the lease ends while a connection is made.
func TestNothingBeginsWithoutLease(t *testing.T) {
	t.Parallel()
	var valid atomic.Bool
	valid.Store(true)
	seen := make(chan struct{}, 1)
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { seen <- struct{}{} }))
	defer server.Close()
	closed := make(chan struct{})
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		valid.Store(false)
		return &closing{Conn: conn, closed: closed}, err
	}
	kinds := effect.Kinds(effect.Options{HTTP: effect.NewClient(effect.ClientOptions{Dial: dial}, nil)})
	e, err := reopen(t, mem.New(), Options{Kinds: kinds, Valid: valid.Load})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := e.AddModule(t.Context(), "guest", fixture().bin, nil); err != nil {
		t.Fatal(err)
	}
	_, _, _ = e.Start(t.Context(), Start{Module: "guest", Workflow: "script", Input: input(t, map[string]any{"url": server.URL, "steps": []map[string]any{{"post": "/"}}}), ID: "run"})
	select {
	case <-seen:
		t.Error("a call has begun although the lease had ended")
	case <-closed:
	}
	e.Kill()
}

// closing is a connection that tells when it is closed.
type closing struct {
	net.Conn
	once   sync.Once
	closed chan struct{}
}

func (c *closing) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}
