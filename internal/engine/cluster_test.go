package engine

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/cluster"
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/late"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

// wire is the connection of a node to the database. While it is cut, operations hang.
type wire struct {
	store.KV
	mu    sync.Mutex
	whole chan struct{} // closed while it is not cut
}

func newWire(kv store.KV) *wire {
	w := &wire{KV: kv, whole: make(chan struct{})}
	close(w.whole)
	return w
}

func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.whole = make(chan struct{})
}

func (w *wire) mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.whole)
}

func (w *wire) pass(ctx context.Context) error {
	w.mu.Lock()
	whole := w.whole
	w.mu.Unlock()
	select {
	case <-whole:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (w *wire) Get(ctx context.Context, key []byte) ([]byte, error) {
	if err := w.pass(ctx); err != nil {
		return nil, err
	}
	return w.KV.Get(ctx, key)
}

func (w *wire) Scan(ctx context.Context, r store.Range) iter.Seq2[store.Item, error] {
	return func(yield func(store.Item, error) bool) {
		if err := w.pass(ctx); err != nil {
			yield(store.Item{}, err)
			return
		}
		w.KV.Scan(ctx, r)(yield)
	}
}

func (w *wire) Apply(ctx context.Context, b *store.Batch) error {
	if err := w.pass(ctx); err != nil {
		return err
	}
	return w.KV.Apply(ctx, b)
}

// node is an engine that is one of several on a database.
type node struct {
	*Engine
	member *cluster.Member
	wire   *wire
	outbox *late.Outbox
	up     context.Context    // ends when it crashes, or leaves
	leave  context.CancelFunc // ends the renewal of its lease, and up
	served chan struct{}      // closed when it is not renewed any more
	late   atomic.Int64       // attempts that it began without a lease
}

// join opens an engine on a database that other nodes use, too. It reaches the others over a mesh, if there is one.
func join(t *testing.T, kv store.KV, name string, ttl time.Duration, over ...*mesh) *node {
	t.Helper()
	return joinAfter(t, kv, name, ttl, new(late.Outbox), over...)
}

// joinAfter is join for a process that was another node before, and may have outcomes of its calls.
func joinAfter(t *testing.T, kv store.KV, name string, ttl time.Duration, box *late.Outbox, over ...*mesh) *node {
	t.Helper()
	fixture() // takes longer than a lease
	n := &node{wire: newWire(kv), outbox: box, served: make(chan struct{})}
	st, err := store.Open(t.Context(), n.wire)
	if err != nil {
		t.Fatal(err)
	}
	keeper := &cluster.Keeper{Store: st, Log: slog.New(slog.DiscardHandler)}
	n.member = cluster.New(cluster.Options{Store: st, Name: name, TTL: ttl, Log: slog.New(slog.DiscardHandler), Seen: func(ctx context.Context, v cluster.View) { keeper.See(ctx, v) }})
	if err := n.member.Join(t.Context()); err != nil {
		t.Fatal(err)
	}
	kinds := effect.Kinds(effect.Options{})
	for i := range kinds {
		if perform := kinds[i].Perform; kinds[i].Name == effect.HTTP {
			kinds[i].Perform = func(ctx context.Context, a effect.Attempt) effect.Result {
				if !n.member.Valid() {
					n.late.Add(1)
				}
				return perform(ctx, a)
			}
		}
	}
	claim := func(ctx context.Context, s *store.Store, l *store.Lease) ([]store.Shard, error) {
		return s.ClaimFree(ctx, l, append(store.AllShards(), store.ShardOfCaps)...)
	}
	o := Options{Owner: n.member.Node().ID, Claim: claim, Valid: n.member.Valid, Await: n.member.Await, Kinds: kinds, Late: box}
	if len(over) > 0 {
		o.Peers = over[0]
	}
	if n.Engine, err = reopen(t, n.wire, o); err != nil {
		t.Fatal(err)
	}
	for _, m := range over {
		m.add(n.Engine)
	}
	t.Cleanup(n.Kill)
	keeper.Owner, keeper.Self = n.Engine, n.member.Node().ID
	n.up, n.leave = context.WithCancel(context.Background())
	go func() {
		defer close(n.served)
		_ = n.member.Serve(n.up)
		keeper.Wait()
	}()
	t.Cleanup(func() { n.leave(); <-n.served })
	return n
}

// crash stops a node as kill -9 does.
func (n *node) crash() {
	n.leave()
	n.Kill()
	<-n.served
}

// nodes are those that a client knows. They may change while it asks.
type nodes struct {
	mu  sync.Mutex
	all []*node
}

func (c *nodes) set(all ...*node) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = all
}

// ask repeats a request at one node after another until one answers. The connection to a node that crashes breaks.
func (c *nodes) ask(ctx context.Context, request func(ctx context.Context, e *Engine) error) error {
	for i := 0; ; i++ {
		c.mu.Lock()
		n := c.all[i%len(c.all)]
		c.mu.Unlock()
		connection, broken := context.WithCancel(ctx)
		stop := context.AfterFunc(n.up, broken)
		err := request(connection, n.Engine)
		stop()
		broken()
		switch flawless.CodeOf(err) {
		case flawless.Elsewhere, flawless.Stopping, flawless.Fenced:
		default:
			if n.up.Err() == nil {
				return err
			}
		}
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return err
		}
	}
}

// untilSo waits for a condition that nothing tells of.
func untilSo(t *testing.T, what string, is func() bool) {
	t.Helper()
	for began := time.Now(); !is(); <-time.After(5 * time.Millisecond) {
		if time.Since(began) > time.Minute {
			t.Fatalf("after a minute it is not so that %s", what)
		}
	}
}

// balanced waits until nodes share all shards evenly.
func balanced(t *testing.T, all ...*node) {
	t.Helper()
	untilSo(t, "all shards are shared evenly", func() bool {
		sum := 0
		for _, n := range all {
			has := len(n.Shards())
			if sum += has; has < store.Shards/len(all)-1 || has > store.Shards/len(all)+2 {
				return false
			}
		}
		return sum == store.Shards
	})
}

// load starts runs that each make three requests, and returns a function that waits for them and returns their statuses.
func load(t *testing.T, c *nodes, out *outside, runs int) (wait func() map[string]flawless.Run) {
	t.Helper()
	ended := map[string]flawless.Run{}
	var mu sync.Mutex
	var clients sync.WaitGroup
	for n := range runs {
		clients.Go(func() {
			id := fmt.Sprint("run-", n)
			post := func(k int) op { return op{"Post": fmt.Sprintf("%s/%s/%d", out.URL, id, k)} }
			begin := Start{Module: "guest", Workflow: "want", ID: id,
				Input: input(t, ops(post(1), sleeps(1+n%1000), post(2), spawns(sleeps(500), post(3))))}
			err := c.ask(t.Context(), func(ctx context.Context, e *Engine) error { _, _, err := e.Start(ctx, begin); return err })
			var r flawless.Run
			if err == nil {
				err = c.ask(t.Context(), func(ctx context.Context, e *Engine) (err error) { r, err = settled(ctx, e, id, id+".4"); return err })
			}
			if err != nil {
				t.Errorf("%s: %v", id, err)
			}
			mu.Lock()
			defer mu.Unlock()
			ended[id] = r
		})
	}
	return func() map[string]flawless.Run { clients.Wait(); return ended }
}

// settled waits until a run has ended or is unresolved. If its child is unresolved, so is the run.
func settled(ctx context.Context, e *Engine, id, child string) (flawless.Run, error) {
	for {
		some, cancel := context.WithTimeout(ctx, time.Second)
		r, err := e.Settled(some, id)
		late := some.Err() != nil && ctx.Err() == nil
		cancel()
		if !late {
			return r, err
		}
		if c, err := e.Run(ctx, child); err == nil && c.Status == flawless.Unresolved {
			return c, nil
		}
	}
}

// check counts the runs that are unresolved, and reports those that are neither that nor completed, and requests that were
// made twice or, of completed runs, not at all.
func check(t *testing.T, ended map[string]flawless.Run, out *outside) (unresolved int) {
	t.Helper()
	for id, r := range ended {
		done := r.Status == flawless.Completed
		if !done && r.Status != flawless.Unresolved {
			t.Errorf("%s is %s %+v %s", id, r.Status, r.Failure, r.Problem)
		}
		if !done {
			unresolved++
		}
		for k := 1; k <= 3; k++ {
			if n := out.count(fmt.Sprintf("/%s/%d", id, k)); n > 1 || n == 0 && done {
				t.Errorf("%s, which is %s, made request %d %d times", id, r.Status, k, n)
			}
		}
	}
	return unresolved
}

// three opens three nodes and waits until they share the shards.
func three(t *testing.T, ttl time.Duration) (kv store.KV, c *nodes, all [3]*node) {
	t.Helper()
	kv = mem.New()
	st, err := store.Open(t.Context(), kv)
	if err != nil {
		t.Fatal(err)
	}
	over := newMesh(st)
	for i, name := range []string{"a", "b", "c"} {
		if all[i] = join(t, kv, name, ttl, over); i == 0 {
			if _, _, err := all[i].AddModule(t.Context(), "guest", fixture().bin, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	balanced(t, all[:]...)
	c = new(nodes)
	c.set(all[:]...)
	return kv, c, all
}

// TestNodesTakeOver crashes a node, and later another one, while runs of all nodes are in the middle of calls and sleeps.
func TestNodesTakeOver(t *testing.T) {
	t.Parallel()
	_, c, all := three(t, 2*time.Second)
	out := newOutside(t)
	wait := load(t, c, out, 120)
	untilSo(t, "some requests were made", func() bool { return out.total() > 40 })
	c.set(all[1], all[2])
	all[0].crash()
	balanced(t, all[1], all[2])
	c.set(all[2])
	all[1].crash()
	balanced(t, all[2])
	unresolved := check(t, wait(), out)
	if all[2].late.Load() > 0 || unresolved > 60 {
		t.Errorf("%d attempts were begun without a lease, and %d runs are unresolved", all[2].late.Load(), unresolved)
	}
	t.Logf("%d of 120 runs are unresolved", unresolved)
}

// TestNodeWithoutDatabaseStops cuts a node off from the database, but not from the outside. It must not begin anything when
// its lease is over, nor write anything when it is connected again: others have its runs by then.
func TestNodeWithoutDatabaseStops(t *testing.T) {
	t.Parallel()
	_, c, all := three(t, 2*time.Second)
	out := newOutside(t)
	wait := load(t, c, out, 120)
	untilSo(t, "some requests were made", func() bool { return out.total() > 40 })
	c.set(all[1], all[2])
	all[0].wire.cut()
	balanced(t, all[1], all[2])
	if all[0].member.Valid() {
		t.Error("the lease of the node that was cut off is valid")
	}
	all[0].wire.mend()
	<-all[0].served // it was called dead
	unresolved := check(t, wait(), out)
	for _, n := range all {
		if n.late.Load() > 0 {
			t.Errorf("%s began %d attempts without a lease", n.member.Node().Name, n.late.Load())
		}
	}
	t.Logf("%d of 120 runs are unresolved", unresolved)
}

// TestRollingRestart replaces all nodes, one after another, while runs of all of them make calls. No run becomes unresolved.
func TestRollingRestart(t *testing.T) {
	t.Parallel()
	kv, c, all := three(t, 5*time.Second)
	out := newOutside(t)
	out.delay = func(string) { <-time.After(300 * time.Millisecond) } // so that many are in flight at any time
	wait := load(t, c, out, 120)
	now := all[:]
	for i, name := range []string{"d", "e", "f"} {
		next := join(t, kv, name, 5*time.Second)
		old := now[0]
		now = append(now[1:len(now):len(now)], next)
		c.set(append(now, old)...)
		old.member.Drain()
		balanced(t, now...)
		if len(old.Shards()) > 0 {
			t.Errorf("node %d has %d shards after it was drained", i, len(old.Shards()))
		}
		c.set(now...)
		old.leave()
		<-old.served
		if err := old.member.Leave(t.Context()); err != nil {
			t.Error(err)
		}
		if err := old.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if unresolved := check(t, wait(), out); unresolved > 0 {
		t.Errorf("%d runs are unresolved", unresolved)
	}
}

// TestErrandsGoOnBetweenNodes crashes a node, and later another one, while runs of all nodes send messages to each other, wait
// for each other and change a state.
func TestErrandsGoOnBetweenNodes(t *testing.T) {
	t.Parallel()
	const n, messages = 15, 20
	_, c, all := three(t, 2*time.Second)
	outputs := map[string]string{}
	start := func(workflow string, in any, id, output string) {
		t.Helper()
		outputs[id] = output
		begin := Start{Module: "guest", Workflow: workflow, Input: input(t, in), ID: id}
		err := c.ask(t.Context(), func(ctx context.Context, e *Engine) error { _, _, err := e.Start(ctx, begin); return err })
		if err != nil {
			t.Fatal(err)
		}
	}
	for k := range n {
		to, target := fmt.Sprint("receiver-", k), fmt.Sprint("target-", k)
		start("mailbox", messages, to, numbers(messages))
		start("want", ops(sleeps(100*k), takes("sum", sleeps(20)), sleeps(1000)), target, `"done"`)
		start("flood", map[string]any{"To": to, "N": messages}, fmt.Sprint("sender-", k), fmt.Sprint(messages))
		start("want", ops(awaits(target), takes("sum", sleeps(5))), fmt.Sprint("waiting-", k), `"done"`)
	}
	crash := func(n int) {
		c.set(all[n+1:]...)
		all[n].crash()
		balanced(t, all[n+1:]...)
	}
	untilSo(t, "some have changed the state", func() bool {
		s, err := all[2].States().State(t.Context(), "sum")
		return err == nil && len(s.Value) > 0
	})
	crash(0)
	crash(1)
	for id, output := range outputs {
		var r flawless.Run
		err := c.ask(t.Context(), func(ctx context.Context, e *Engine) (err error) { r, err = e.Wait(ctx, id); return err })
		if err != nil || string(r.Output) != output {
			t.Errorf("%s is %s with %s, %+v, want %s; %v", id, r.Status, r.Output, r.Failure, output, err)
		}
	}
	if s, err := all[2].States().State(t.Context(), "sum"); err != nil || string(s.Value) != fmt.Sprint(2*n) {
		t.Errorf("the state is %s, %v, want %d", s.Value, err, 2*n)
	}
}
