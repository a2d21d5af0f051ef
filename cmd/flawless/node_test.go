//go:build unix

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
	"github.com/flawless-engine/flawless/internal/store/postgres/pgtest"
)

// clusterOf has nodes on one database, and what their runs call.
type clusterOf struct {
	t     *testing.T
	db    *pgtest.Server
	store string // address of the database
	nodes map[string]*process
	said  map[string]*lines
	web   *httptest.Server

	mu   sync.Mutex
	seen map[string]int // requests by path
}

func newCluster(t *testing.T, names ...string) *clusterOf {
	t.Helper()
	db := pgtest.Start(t, nil)
	return newClusterAt(t, db, db.URL(pgtest.WithPassword), names...)
}

// newClusterAt is newCluster on a database that was started, at an address.
func newClusterAt(t *testing.T, db *pgtest.Server, address string, names ...string) *clusterOf {
	t.Helper()
	c := &clusterOf{t: t, db: db, store: address, nodes: map[string]*process{}, said: map[string]*lines{}, seen: map[string]int{}}
	c.web = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		c.mu.Lock()
		c.seen[r.URL.Path]++
		c.mu.Unlock()
		if strings.Contains(r.URL.Path, "slow") {
			<-time.After(time.Second)
		}
		fmt.Fprintf(w, "did %s", r.URL.Path)
	}))
	t.Cleanup(c.web.Close)
	for _, name := range names {
		c.nodes[name], _ = database(t, c.db)
		c.up(name)
		t.Cleanup(func() { c.nodes[name].kill() })
	}
	dir, err := built()
	if err != nil {
		t.Fatal(err)
	}
	bin, err := os.ReadFile(filepath.Join(dir, "guest.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	cl := c.client(names[0])
	if _, _, err := cl.AddModule(t.Context(), "guest", bin, nil); err != nil {
		t.Fatal(err)
	}
	c.balanced(names...)
	return c
}

func (c *clusterOf) flags(name string) []string {
	return []string{"--store", c.store, "--lease", lease.String(), "--name", name, "--drain", "20s"}
}

func (c *clusterOf) up(name string) {
	c.t.Helper()
	c.said[name] = c.nodes[name].up(c.flags(name)...)
}

func (c *clusterOf) client(name string) *client.Client {
	cl := c.nodes[name].connect()
	c.t.Cleanup(func() { _ = cl.Close() })
	return cl
}

// until waits for a condition over the list of nodes that one of them gives.
func (c *clusterOf) until(what, at string, is func(all []flawless.NodeStatus) bool) {
	c.t.Helper()
	cl := c.client(at)
	var all []flawless.NodeStatus
	for began := time.Now(); ; <-time.After(50 * time.Millisecond) {
		var err error
		if all, err = cl.Nodes(c.t.Context()); err == nil && is(all) {
			return
		}
		if time.Since(began) > 30*time.Second {
			c.t.Fatalf("after 30 s it is not so that %s: %+v, %v; %s says %s", what, all, err, at, c.said[at])
		}
	}
}

// balanced waits until nodes share all shards.
func (c *clusterOf) balanced(names ...string) {
	c.t.Helper()
	c.until("all nodes share the shards", names[0], func(all []flawless.NodeStatus) bool {
		sum := 0
		for _, n := range all {
			if n.Dead {
				continue
			}
			if n.Shards < 256/len(names)-1 {
				return false
			}
			sum += n.Shards
		}
		return sum == 256
	})
}

// load starts runs through nodes in turn until stop, and returns a function that waits for it and returns their ids.
func (c *clusterOf) load(stop context.Context, kind string, names ...string) (wait func() []string) {
	var clients sync.WaitGroup
	var mu sync.Mutex
	var ids []string
	for k := range 3 {
		clients.Go(func() {
			for n := 0; stop.Err() == nil; n++ {
				id := fmt.Sprintf("%s-%d-%d", kind, k, n)
				input, _ := json.Marshal(map[string]any{"url": c.web.URL, "steps": []map[string]any{{"post": "/" + id + "/post0"}, {"sleep": 300}, {"post": "/" + id + "/post1"}}})
				for try := 0; ; try++ {
					cl := c.client(names[(n+k+try)%len(names)])
					_, _, err := cl.Start(c.t.Context(), client.Start{Module: "guest", Workflow: "script", Input: input, ID: id}, false)
					if err == nil {
						break
					}
					if try > 500 || errors.Is(err, flawless.Invalid) || errors.Is(err, flawless.Conflict) {
						c.t.Errorf("starting %s: %v", id, err)
						return
					}
					<-time.After(20 * time.Millisecond)
				}
				mu.Lock()
				ids = append(ids, id)
				mu.Unlock()
				<-time.After(30 * time.Millisecond)
			}
		})
	}
	return func() []string { clients.Wait(); return ids }
}

// settle waits for the end of runs, and returns how many calls had an unknown outcome. No request may arrive twice, or not.
func (c *clusterOf) settle(at string, ids []string) (doubts int) {
	c.t.Helper()
	cl := c.client(at)
	for _, id := range ids {
		doubts += settleRun(c.t, cl, id, c.web.URL, func(path string) bool {
			c.mu.Lock()
			defer c.mu.Unlock()
			return c.seen[path] > 0
		})
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range ids {
		for k := range 2 {
			if path := fmt.Sprintf("/%s/post%d", id, k); c.seen[path] != 1 {
				c.t.Errorf("%s was seen %d times", path, c.seen[path])
			}
		}
	}
	return doubts
}

// hang leaves a connection of a node that hangs in a transaction, as if it was about to write something.
func (c *clusterOf) hang(name string) {
	c.t.Helper()
	config, err := pgx.ParseConfig(c.db.URL(pgtest.WithPassword))
	if err != nil {
		c.t.Fatal(err)
	}
	config.Password = pgtest.Password
	config.RuntimeParams["application_name"] = c.db.Exec(c.t, "SELECT max(application_name) FROM pg_stat_activity WHERE application_name LIKE 'flawless "+name+" lease %'")
	conn, err := pgx.ConnectConfig(c.t.Context(), config)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = conn.Close(context.Background()) })
	if _, err := conn.Exec(c.t.Context(), "BEGIN; SELECT FROM flawless.rows WHERE k >= 'l' AND k < 'm' FOR SHARE"); err != nil {
		c.t.Fatal(err)
	}
}

// TestNodes kills, restarts and pauses nodes of a cluster under load.
func TestNodes(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "a", "b", "c")

	t.Run("same name", func(t *testing.T) {
		p, _ := database(t, c.db)
		code, out := p.command(append([]string{"up", "--port", "0"}, c.flags("a")...)...)
		if code != 4 || !strings.Contains(out, "node a is running already") {
			t.Errorf("a second node a ends with %d: %s", code, out)
		}
	})

	t.Run("rolling restart", func(t *testing.T) {
		stop, cancel := context.WithCancel(t.Context())
		wait := c.load(stop, "rolling-slow", "a", "b", "c")
		for _, name := range []string{"a", "b", "c"} {
			if err := c.nodes[name].cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			if code := c.nodes[name].ends(30 * time.Second); code != 0 {
				t.Errorf("node %s ends with %d: %s", name, code, c.said[name])
			}
			c.up(name)
			c.balanced("a", "b", "c")
		}
		cancel()
		ids := wait()
		if doubts := c.settle("a", ids); doubts > 0 || len(ids) < 30 {
			t.Errorf("of %d runs, %d calls have an unknown outcome", len(ids), doubts)
		}
	})

	t.Run("kill", func(t *testing.T) {
		stop, cancel := context.WithCancel(t.Context())
		wait := c.load(stop, "killed", "a", "b", "c")
		<-time.After(time.Second)
		c.hang("b")
		c.nodes["b"].kill()
		began := time.Now()
		c.until("b is dead", "a", func(all []flawless.NodeStatus) bool {
			sum, dead := 0, false
			for _, n := range all {
				dead = dead || n.Dead && n.Name == "b"
				if !n.Dead {
					sum += n.Shards
				}
			}
			return dead && sum == 256
		})
		took := time.Since(began)
		if took > lease+lease/10+3*time.Second { // two of them for this machine
			t.Errorf("the others took over after %v", took)
		}
		cancel()
		ids := wait()
		doubts := c.settle("c", ids)
		t.Logf("taken over after %v; of %d runs, %d calls had an unknown outcome", took, len(ids), doubts)
		c.up("b")
		c.balanced("a", "b", "c")
	})

	t.Run("pause", func(t *testing.T) {
		stop, cancel := context.WithCancel(t.Context())
		wait := c.load(stop, "paused-slow", "a", "c")
		if err := c.nodes["b"].cmd.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		c.until("b is dead", "a", func(all []flawless.NodeStatus) bool {
			dead := 0
			for _, n := range all {
				if n.Dead && n.Name == "b" {
					dead++
				}
			}
			return dead == 2
		})
		if err := c.nodes["b"].cmd.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		c.said["b"].wait(t, "starting again as a new node")
		c.balanced("a", "b", "c")
		cancel()
		ids := wait()
		for began := time.Now(); time.Since(began) < 20*time.Second; <-time.After(100 * time.Millisecond) {
			if code, out := c.nodes["a"].command("workflow", "list", "--status", "unresolved"); code == 0 && !strings.Contains(out, "paused-") {
				break
			}
		}
		if doubts := c.settle("a", ids); doubts > 0 {
			t.Errorf("%d calls have an unknown outcome, although their server answers again", doubts)
		}
	})

	t.Run("drain", func(t *testing.T) {
		if code, out := c.nodes["a"].command("node", "drain", "c", "--wait"); code != 0 || !strings.Contains(out, "node c is drained") {
			t.Errorf("drain ends with %d: %s", code, out)
		}
		ready := func(name string) int {
			r, err := http.Get("http://" + c.nodes[name].connectAddress() + "/readyz")
			if err != nil {
				t.Fatal(err)
			}
			defer r.Body.Close()
			return r.StatusCode
		}
		if a, c := ready("a"), ready("c"); a != 200 || c != 503 {
			t.Errorf("readyz of a is %d, and of c, which is drained, %d", a, c)
		}
		if code, out := c.nodes["c"].command("node", "list"); code != 0 || !strings.Contains(out, "drained") || !strings.Contains(out, "dead") {
			t.Errorf("list ends with %d: %s", code, out)
		}
		if code, out := c.nodes["c"].command("node", "drain", "x"); code != 3 || !strings.Contains(out, "there is no node") {
			t.Errorf("draining a node that does not exist ends with %d: %s", code, out)
		}
		if code, out := c.nodes["a"].command("node", "undrain", "c"); code != 0 {
			t.Errorf("undrain ends with %d: %s", code, out)
		}
		c.balanced("a", "b", "c")
	})
}

// TestNodeFollowsItself kills the only node of a cluster. It goes on at once in the same directory, and after the time of the
// lease in another one.
func TestNodeFollowsItself(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "a")
	cl := c.client("a")
	if _, _, err := cl.Start(t.Context(), client.Start{Module: "guest", Workflow: "obey", ID: "waits"}, false); err != nil {
		t.Fatal(err)
	}
	c.nodes["a"].kill()
	c.up("a")
	if out := c.said["a"].String(); strings.Contains(out, "waiting for the lease") {
		t.Errorf("it waits for itself: %s", out)
	}
	c.until("it has all shards", "a", func(all []flawless.NodeStatus) bool { return len(all) == 2 })
	if all, err := cl.Nodes(t.Context()); err != nil || all[0].Shards+all[1].Shards != 256 || all[0].Dead == all[1].Dead {
		t.Errorf("the nodes are %+v, %v", all, err)
	}
	c.nodes["a"].kill()
	c.nodes["a"], _ = database(t, c.db)
	c.up("a")
	if out := c.said["a"].String(); !strings.Contains(out, "waiting for the lease of node a") {
		t.Errorf("it says %s", out)
	}
	if r, err := c.client("a").Run(t.Context(), "waits", false); err != nil || r.Status != flawless.Waiting {
		t.Errorf("the run is %+v, %v", r, err)
	}
}

// TestNodesNeedTheSameKey sets a secret on a node while another one lacks its key, and then with the key.
func TestNodesNeedTheSameKey(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "a", "b")
	set := func() (int, string) {
		cmd := c.nodes["a"].commandOf("secret", "set", "TOKEN", "--host", "api.example.com")
		cmd.Stdin = strings.NewReader("a value that is long enough")
		out, _ := cmd.CombinedOutput()
		return cmd.ProcessState.ExitCode(), string(out)
	}
	if code, out := set(); code != 4 || !strings.Contains(out, "do not have the key") || !strings.Contains(out, ": b.") {
		t.Errorf("setting a secret whose key b lacks ends with %d: %s", code, out)
	}
	restart := func(name string) int {
		if err := c.nodes[name].cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		return c.nodes[name].ends(30 * time.Second)
	}
	key, err := os.ReadFile(filepath.Join(c.nodes["a"].dir, "secret.key"))
	if err == nil {
		err = os.WriteFile(filepath.Join(c.nodes["b"].dir, "secret.key"), key, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	restart("b")
	c.up("b")
	for began := time.Now(); ; <-time.After(50 * time.Millisecond) { // until b is the only other node
		if code, out := set(); code == 0 {
			break
		} else if time.Since(began) > 10*time.Second {
			t.Fatalf("setting a secret whose key all have ends with %d: %s", code, out)
		}
	}
	for began := time.Now(); ; <-time.After(50 * time.Millisecond) { // b sees it with a renewal of its lease
		if code, out := c.nodes["b"].command("secret", "list"); code == 0 && strings.Contains(out, "TOKEN") && !strings.Contains(out, "missing") {
			break
		} else if time.Since(began) > 10*time.Second {
			t.Fatalf("b lists %d: %s", code, out)
		}
	}
	if code, out := c.nodes["a"].command("secret", "rotate-key"); code != 4 || !strings.Contains(out, "do not have the key") {
		t.Errorf("a key that only a has: exit code %d: %s", code, out)
	}
	restart("b")
	if err := os.Remove(filepath.Join(c.nodes["b"].dir, "secret.key")); err != nil {
		t.Fatal(err)
	}
	code, out := c.nodes["b"].command(append([]string{"up"}, c.flags("b")...)...)
	if code != 4 || !strings.Contains(out, "copy the file secret.key") {
		t.Errorf("a node without the key ends with %d: %s", code, out)
	}
}

// TestRunsReachNoNode has runs call the node that owns them, and the other one.
func TestRunsReachNoNode(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "a", "b")
	cl := c.client("a")
	for _, name := range []string{"a", "b"} {
		for _, host := range []string{"127.0.0.1", "localhost"} {
			in, err := json.Marshal(map[string]string{"url": fmt.Sprintf("http://%s:%d/api/v1/secret-keys", host, c.nodes[name].port)})
			if err != nil {
				t.Fatal(err)
			}
			var r flawless.Run
			refused := func() bool { // once the other node has been seen
				r, _, err = cl.Start(t.Context(), client.Start{Module: "guest", Workflow: "once", Input: in}, true)
				return err != nil || r.Status == flawless.Failed
			}
			for began := time.Now(); !refused() && time.Since(began) < 10*time.Second; {
				<-time.After(50 * time.Millisecond)
			}
			if err != nil || r.Status != flawless.Failed || !strings.Contains(fmt.Sprint(r.Failure), "--allow-self-calls") {
				t.Errorf("a run that calls node %s at %s: %+v, %v", name, host, r, err)
			}
		}
	}
}
