//go:build unix

package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/postgres"
	"github.com/flawless-engine/flawless/internal/store/postgres/pgtest"
)

// failover has a cluster on a database with an asynchronous standby, and runs of each node.
type failover struct {
	*clusterOf
	t       *testing.T
	standby *pgtest.Server
	of      map[string]*runsOf // by node
	owners  []string           // of the shards
}

// runsOf has ids of the runs of a node.
type runsOf struct {
	behind []string // will have made a call that the standby does not know of
	steady []string // wait before their call
	gone   []string // will be unknown to the standby
}

const perNode = 5

func newFailover(t *testing.T, names ...string) *failover {
	t.Helper()
	db := pgtest.Start(t, nil)
	standby := db.Standby(t)
	address := fmt.Sprintf("postgres://%s@127.0.0.1:%d,127.0.0.1:%d/%s?sslmode=disable", pgtest.User, db.Port(), standby.Port(), pgtest.Database)
	f := &failover{t: t, standby: standby, of: map[string]*runsOf{}, clusterOf: newClusterAt(t, db, address, names...)}
	for _, name := range names {
		f.of[name] = &runsOf{behind: f.start(name, "behind", perNode), steady: f.start(name, "steady", perNode)}
	}
	for _, name := range names {
		for _, id := range f.of[name].steady {
			mustBe(t, f.client(name), id, flawless.Waiting)
		}
	}
	for db.Exec(t, "SELECT count(*) FROM pg_stat_replication WHERE replay_lsn = pg_current_wal_lsn()") != "1" {
	}
	return f
}

// idOf returns an id in a shard of a node.
func (f *failover) idOf(node, prefix string) string {
	f.t.Helper()
	all, err := f.client(node).Nodes(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	if f.owners == nil {
		db, err := postgres.Open(f.t.Context(), f.store, postgres.Options{Name: "test"})
		if err != nil {
			f.t.Fatal(err)
		}
		defer db.Close()
		st, err := store.Open(f.t.Context(), db)
		if err != nil {
			f.t.Fatal(err)
		}
		owners, err := st.Owners(f.t.Context())
		if err != nil {
			f.t.Fatal(err)
		}
		f.owners = owners[:]
	}
	i := slices.IndexFunc(all, func(n flawless.NodeStatus) bool { return n.Name == node && !n.Dead })
	for n := 0; ; n++ {
		if id := fmt.Sprintf("%s-%d", prefix, n); f.owners[store.ShardOf(id)] == all[i].ID {
			return id
		}
	}
}

// start starts runs in shards of a node, with steps that are named after them.
func (f *failover) start(node, kind string, n int) (ids []string) {
	f.t.Helper()
	gate := op{"Receive": "go"}
	for i := range n {
		post := op{"Post": fmt.Sprintf("%s/%s-%s-%d", f.web.URL, node, kind, i)}
		steps := map[string][]op{"behind": {gate, post, gate}, "steady": {gate, post}, "gone": {post, gate}}[kind]
		id := f.idOf(node, fmt.Sprintf("%s-%s-%d", node, kind, i))
		mustWant(f.t, f.client(node), id, steps...)
		ids = append(ids, id)
	}
	return ids
}

// lag makes nodes call the outside in writes that the standby does not get.
func (f *failover) lag(names ...string) {
	f.t.Helper()
	f.standby.Unfollow(f.t)
	for _, name := range names {
		for _, id := range f.of[name].behind {
			goOn(f.t, f.client(name), id)
		}
		f.of[name].gone = f.start(name, "gone", perNode)
	}
	for _, name := range names {
		f.posted(name, "behind")
		f.posted(name, "gone")
	}
}

// posted waits until the calls of runs have arrived.
func (f *failover) posted(node, kind string) {
	f.t.Helper()
	for began := time.Now(); ; <-time.After(10 * time.Millisecond) {
		n := 0
		f.mu.Lock()
		for i := range perNode {
			if f.seen[fmt.Sprintf("/%s-%s-%d", node, kind, i)] > 0 {
				n++
			}
		}
		f.mu.Unlock()
		if n == perNode {
			return
		}
		if time.Since(began) > 20*time.Second {
			f.t.Fatalf("only %d calls of the %s runs of %s have arrived", n, kind, node)
		}
	}
}

// promote makes the standby the primary, after the old one has crashed.
func (f *failover) promote() {
	f.t.Helper()
	f.db.Stop(f.t, pgtest.Immediate)
	f.standby.Promote(f.t)
}

// settled checks that exactly the calls of a node are unresolved that are lost, and that its other runs go on.
func (f *failover) settled(node, at string) {
	f.t.Helper()
	f.unresolved(node, at)
	c := f.client(at)
	for _, id := range f.of[node].steady {
		mustBe(f.t, c, id, flawless.Waiting)
		goOn(f.t, c, id)
		mustBe(f.t, c, id, flawless.Completed)
	}
}

// unresolved checks that the lost calls of a node are unresolved.
func (f *failover) unresolved(node, at string) {
	f.t.Helper()
	c := f.client(at)
	for i, id := range f.of[node].behind {
		mustDoubt(f.t, c, id, fmt.Sprintf("POST %s/%s-behind-%d", f.web.URL, node, i), "lost acknowledged writes")
	}
	for i, id := range f.of[node].gone {
		mustDoubt(f.t, c, id, fmt.Sprintf("POST %s/%s-gone-%d", f.web.URL, node, i), "the run itself is lost")
	}
}

// held checks that all open runs of a node are held, and that no run with an id of theirs starts.
func (f *failover) held(node, at string) {
	f.t.Helper()
	c := f.client(at)
	for _, id := range append(f.of[node].behind, f.of[node].steady...) {
		if r := mustBe(f.t, c, id, flawless.Paused); r.Pause == nil || !r.Pause.Lost {
			f.t.Errorf("run %s of %s is held because of %+v", id, node, r.Pause)
		}
		goOn(f.t, c, id)
	}
	for _, id := range f.of[node].gone {
		if _, err := c.Run(f.t.Context(), id, false); flawless.CodeOf(err) != flawless.NotFound {
			f.t.Errorf("run %s of %s, of which nobody knows: %v", id, node, err)
		}
	}
}

// history waits until a node says that the history is in question, or not.
func (f *failover) history(at string, open bool) flawless.History {
	f.t.Helper()
	c := f.client(at)
	for began := time.Now(); ; <-time.After(50 * time.Millisecond) {
		h, err := c.History(f.t.Context())
		if err == nil && h.Open == open && len(h.Resuming) == 0 {
			return h
		}
		if time.Since(began) > 30*time.Second {
			f.t.Fatalf("the history is %+v, %v, want open: %v; %s says %s", h, err, open, at, f.said[at])
		}
	}
}

// once checks that no call was made twice, and that these were made.
func (f *failover) once(kinds map[string][]string) {
	f.t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for path, n := range f.seen {
		if n != 1 {
			f.t.Errorf("%s was requested %d times", path, n)
		}
	}
	sum := 0
	for node, of := range kinds {
		for _, kind := range of {
			for i := range perNode {
				sum++
				if path := fmt.Sprintf("/%s-%s-%d", node, kind, i); f.seen[path] != 1 {
					f.t.Errorf("%s was requested %d times", path, f.seen[path])
				}
			}
		}
	}
	if len(f.seen) != sum {
		f.t.Errorf("%d calls were made, want %d", len(f.seen), sum)
	}
}

var everyKind = []string{"behind", "steady", "gone"}

// says checks that everything which shows the state of a node mentions the question about node a.
func (f *failover) says(at string) {
	f.t.Helper()
	c := f.client(at)
	if h, err := c.Health(f.t.Context()); err != nil || h.State != "ok" || h.Held != 2*perNode || !strings.Contains(h.History, "flawless history") {
		f.t.Errorf("the health is %+v, %v", h, err)
	}
	p := f.nodes[at]
	for _, row := range [][]string{{"history", "node a still exists"}, {"node list", "dead, calls in question"}} {
		if code, out := p.command(append(strings.Fields(row[0]), "--socket", p.connectAddress())...); code != 0 || !strings.Contains(out, row[1]) {
			f.t.Errorf("%s ends with %d: %s", row[0], code, out)
		}
	}
	for path, text := range map[string]string{"/readyz": "10 runs are held", "/metrics": "flawless_runs_held 10"} {
		res, err := http.Get("http://" + p.connectAddress() + path)
		if err != nil {
			f.t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil || res.StatusCode != http.StatusOK || !strings.Contains(string(body), text) {
			f.t.Errorf("%s is %d %s, %v", path, res.StatusCode, body, err)
		}
	}
}

// TestNodeDiesWithPrimary: the database fails over to a standby that lacks the newest writes, and a node that has made calls
// since dies, too. The other one settles its own calls, and holds the runs that it takes over.
func TestNodeDiesWithPrimary(t *testing.T) {
	t.Parallel()
	rows := []string{"its machine comes back", "its machine is gone", "it is started again at once"}
	if testing.Short() {
		rows = rows[:1]
	}
	for _, row := range rows {
		t.Run(row, func(t *testing.T) {
			t.Parallel()
			f := newFailover(t, "a", "b")
			f.lag("a", "b")
			f.nodes["a"].kill()
			f.promote()
			if row == "it is started again at once" {
				f.up("a")
				f.settled("a", "a")
				f.settled("b", "a")
				f.history("b", false)
				f.once(map[string][]string{"a": everyKind, "b": everyKind})
				return
			}
			h := f.history("b", true)
			for began := time.Now(); h.Held < 2*perNode && time.Since(began) < 20*time.Second; <-time.After(50 * time.Millisecond) {
				h = f.history("b", true)
			}
			if len(h.Rings) != 1 || h.Rings[0].Node != "a" || h.Rings[0].State != flawless.RingMissing || h.Held != 2*perNode {
				t.Errorf("the history is %+v", h)
			}
			f.held("a", "b")
			f.settled("b", "b")
			c := f.client("b")
			f.says("b")
			if _, _, err := c.Start(t.Context(), client.Start{Module: "guest", Workflow: "want", ID: f.of["a"].gone[0], Input: []byte("[]")}, false); flawless.CodeOf(err) != flawless.Conflict || !strings.Contains(err.Error(), "history accept") {
				t.Errorf("starting a run that may be lost: %v", err)
			}
			if row == "its machine comes back" {
				f.up("a")
				f.unresolved("a", "b")
				for _, id := range f.of["a"].steady {
					mustBe(t, c, id, flawless.Completed)
				}
				if h := f.history("a", false); h.Accepted != nil {
					t.Errorf("the history is %+v", h)
				}
				f.once(map[string][]string{"a": everyKind, "b": everyKind})
				return
			}
			if err := os.Remove(filepath.Join(f.nodes["a"].dir, "ring")); err != nil {
				t.Fatal(err)
			}
			f.up("a") // in the same directory, but it does not know anything
			f.held("a", "a")
			for _, id := range f.of["a"].behind {
				if _, err := c.Terminate(t.Context(), id, flawless.Cancel{}); err != nil {
					t.Fatal(err)
				}
			}
			// Any node takes it, whoever has the runs.
			if h, err := f.client("a").AcceptHistory(t.Context(), "somebody", "looked"); err != nil || h.Open || len(h.Resuming) > 0 {
				t.Errorf("accepting gives %+v, %v", h, err)
			}
			for _, id := range f.of["a"].steady {
				mustBe(t, c, id, flawless.Completed)
			}
			f.once(map[string][]string{"a": everyKind, "b": everyKind})
		})
	}
}

// TestTwoNodesDieWithPrimary: one of them comes back with its ring, which answers for its own runs and not for those of the
// other one.
func TestTwoNodesDieWithPrimary(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long: make test without SHORT=1 runs it")
	}
	t.Parallel()
	f := newFailover(t, "a", "b", "c")
	f.lag("a", "b", "c")
	f.nodes["a"].kill()
	f.nodes["b"].kill()
	f.promote()
	c := f.client("c")
	for began := time.Now(); f.history("c", true).Held < 4*perNode; <-time.After(50 * time.Millisecond) {
		if time.Since(began) > 20*time.Second {
			t.Fatalf("the history is %+v", f.history("c", true))
		}
	}
	f.settled("c", "c")
	f.held("a", "c")
	f.held("b", "c")
	f.up("b")
	f.unresolved("b", "b")
	for _, id := range f.of["b"].steady {
		mustBe(t, c, id, flawless.Completed)
	}
	f.held("a", "b")
	states := map[string]flawless.RingState{}
	for _, r := range f.history("c", true).Rings {
		states[r.Node] = r.State
	}
	if states["a"] != flawless.RingMissing || states["b"] != flawless.RingSeen {
		t.Errorf("the rings are %v", states)
	}
	for _, id := range f.of["a"].behind {
		if _, err := c.Terminate(t.Context(), id, flawless.Cancel{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.AcceptHistory(t.Context(), "somebody", ""); err != nil {
		t.Fatal(err)
	}
	for _, id := range f.of["a"].steady {
		mustBe(t, c, id, flawless.Completed)
	}
	f.history("b", false)
	f.once(map[string][]string{"a": everyKind, "b": everyKind, "c": everyKind})
}

// TestNodeComesAndGoesInLostWrites: a node joins, gets shards, makes calls and dies with the primary, all in writes that the
// standby does not get. Nothing in the database shows that it existed; the others have seen it.
func TestNodeComesAndGoesInLostWrites(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long: make test without SHORT=1 runs it")
	}
	t.Parallel()
	f := newFailover(t, "a", "b")
	f.standby.Unfollow(t)
	f.nodes["c"], _ = database(t, f.db)
	f.up("c")
	f.balanced("a", "b", "c")
	f.owners = nil
	before := f.of
	f.of = map[string]*runsOf{"c": {gone: f.start("c", "gone", perNode)}}
	f.posted("c", "gone")
	f.nodes["c"].kill()
	f.promote()
	f.history("a", true)
	for began := time.Now(); ; <-time.After(50 * time.Millisecond) {
		h := f.history("b", true)
		n := 0
		for _, r := range h.Rings {
			if r.Open() {
				n += len(r.Shards)
			}
		}
		if n >= 80 {
			if n > 90 {
				t.Errorf("more shards are in question than the node had: %+v", h)
			}
			break
		}
		if time.Since(began) > 20*time.Second {
			t.Fatalf("the history is %+v", h)
		}
	}
	for _, id := range f.of["c"].gone {
		if err := want(t, f.client("a"), id, op{"Receive": "go"}); flawless.CodeOf(err) != flawless.Conflict || !strings.Contains(err.Error(), "history accept") {
			t.Errorf("starting a run of a node that nobody knows: %v", err)
		}
	}
	if _, err := f.client("a").AcceptHistory(t.Context(), "somebody", ""); err != nil {
		t.Fatal(err)
	}
	f.history("b", false)
	for _, of := range before {
		for _, id := range of.steady {
			goOn(t, f.client("a"), id)
			mustBe(t, f.client("a"), id, flawless.Completed)
		}
	}
	f.once(map[string][]string{"a": {"steady"}, "b": {"steady"}, "c": {"gone"}})
}

// TestClusterSwitchover promotes a standby that has all writes, while all nodes live: nobody has to decide anything, also not
// when a node dies later.
func TestClusterSwitchover(t *testing.T) {
	t.Parallel()
	f := newFailover(t, "a", "b")
	f.db.Stop(t, pgtest.Fast) // sends everything to its standbys first
	f.standby.Promote(t)
	for _, name := range []string{"a", "b"} {
		for _, id := range f.of[name].behind {
			goOn(t, f.client(name), id)
		}
		f.posted(name, "behind")
		f.said[name].wait(t, "another primary")
	}
	branch := func(all []flawless.NodeStatus) bool {
		return len(all) == 2 && all[0].Branch == all[1].Branch && strings.HasSuffix(all[0].Branch, "/00000002")
	}
	f.until("both rows say that their writes are in the new primary", "a", branch)
	f.nodes["a"].kill()
	for _, id := range f.of["a"].steady {
		goOn(t, f.client("b"), id)
		mustBe(t, f.client("b"), id, flawless.Completed)
	}
	if h := f.history("b", false); len(h.Reasons) > 0 {
		t.Errorf("the history is %+v", h)
	}
	f.once(map[string][]string{"a": {"behind", "steady"}, "b": {"behind"}})
}
