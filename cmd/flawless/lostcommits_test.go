package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
	"github.com/flawless-engine/flawless/internal/store/postgres/pgtest"
)

// outside counts requests by path. Those to a path that begins with /slow wait until it is released.
type outside struct {
	*httptest.Server
	slow chan struct{}

	mu   sync.Mutex
	seen map[string]int
	more sync.Cond
}

func newOutside(t *testing.T) *outside {
	o := &outside{slow: make(chan struct{}), seen: map[string]int{}}
	o.more.L = &o.mu
	o.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o.mu.Lock()
		o.seen[r.URL.Path]++
		o.more.Broadcast()
		o.mu.Unlock()
		if strings.HasPrefix(r.URL.Path, "/slow") {
			select {
			case <-o.slow:
			case <-r.Context().Done():
			}
		}
	}))
	t.Cleanup(o.Close)
	return o
}

// wait waits for a request.
func (o *outside) wait(path string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.seen[path] == 0 {
		o.more.Wait()
	}
}

// once checks that exactly these paths were requested, once each.
func (o *outside) once(t *testing.T, paths ...string) {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	for path, n := range o.seen {
		if n != 1 {
			t.Errorf("%s was requested %d times", path, n)
		}
	}
	if got := slices.Sorted(maps.Keys(o.seen)); !slices.Equal(got, slices.Sorted(slices.Values(paths))) {
		t.Errorf("requested were %v, want %v", got, paths)
	}
}

// op is a step of the workflow want.
type op map[string]string

func (p *process) addGuest(c *client.Client) {
	p.t.Helper()
	bin, err := os.ReadFile(filepath.Join(filepath.Dir(p.binary), "guest.wasm"))
	if err != nil {
		p.t.Fatal(err)
	}
	if _, _, err := c.AddModule(p.t.Context(), "guest", bin, nil); err != nil {
		p.t.Fatal(err)
	}
}

func want(t *testing.T, c *client.Client, id string, ops ...op) error {
	t.Helper()
	in, err := json.Marshal(ops)
	if err != nil {
		t.Fatal(err)
	}
	return away(func() error {
		_, _, err := c.Start(t.Context(), client.Start{Module: "guest", Workflow: "want", ID: id, Input: in}, false)
		return err
	})
}

// away repeats a request while the database is away.
func away(do func() error) error {
	for began := time.Now(); ; <-time.After(50 * time.Millisecond) {
		err := do()
		if err == nil || flawless.CodeOf(err) == flawless.Conflict || time.Since(began) > 30*time.Second {
			return err
		}
	}
}

func mustWant(t *testing.T, c *client.Client, id string, ops ...op) {
	t.Helper()
	if err := want(t, c, id, ops...); err != nil {
		t.Fatal(err)
	}
}

func goOn(t *testing.T, c *client.Client, id string) {
	t.Helper()
	key := fmt.Sprint(time.Now().UnixNano())
	err := away(func() error {
		_, err := c.Send(t.Context(), id, flawless.Message{Type: "go", Body: flawless.Bytes("1"), Key: key})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func mustBe(t *testing.T, c *client.Client, id string, want flawless.Status) flawless.Run {
	t.Helper()
	r, err := c.Run(t.Context(), id, false)
	for began := time.Now(); (err != nil || r.Status != want) && time.Since(began) < 20*time.Second; <-time.After(20 * time.Millisecond) {
		r, err = c.Run(t.Context(), id, false)
	}
	if err != nil || r.Status != want {
		t.Fatalf("run %s is %s, want %s: %+v, %v", id, r.Status, want, r, err)
	}
	return r
}

// mustAnswer waits until a server that starts again answers.
func mustAnswer(t *testing.T, c *client.Client) {
	t.Helper()
	for began := time.Now(); ; <-time.After(20 * time.Millisecond) {
		if _, err := c.Health(t.Context()); err == nil {
			return
		} else if time.Since(began) > 20*time.Second {
			t.Fatal(err)
		}
	}
}

// mustTurn waits until a run has taken a turn.
func mustTurn(t *testing.T, c *client.Client, id string, n int) {
	t.Helper()
	for began := time.Now(); ; <-time.After(20 * time.Millisecond) {
		if r, err := c.Run(t.Context(), id, false); err != nil || time.Since(began) > 10*time.Second {
			t.Fatalf("run %s does not take turn %d: %+v, %v", id, n, r, err)
		} else if r.Turns >= n {
			return
		}
	}
}

// mustDoubt checks that a run is unresolved because of one call.
func mustDoubt(t *testing.T, c *client.Client, id, request, reason string) flawless.Doubt {
	t.Helper()
	r := mustBe(t, c, id, flawless.Unresolved)
	if len(r.Unresolved) != 1 || r.Unresolved[0].Request != request || !strings.Contains(r.Unresolved[0].Reason, reason) {
		t.Fatalf("run %s is unresolved because of %+v, want %s because of %s", id, r.Unresolved, request, reason)
	}
	return r.Unresolved[0]
}

func mustResolve(t *testing.T, c *client.Client, id string, d flawless.Decision) {
	t.Helper()
	if _, err := c.Resolve(t.Context(), id, d); err != nil {
		t.Fatal(err)
	}
}

// copyData copies the data of a stopped database.
func copyData(t *testing.T, s *pgtest.Server, from, to string) {
	t.Helper()
	if out, err := exec.Command("sh", "-c", `rm -rf "$2" && cp -a "$1" "$2"`, "sh", filepath.Join(s.Dir, from), filepath.Join(s.Dir, to)).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// TestRestoredDatabase restores an older copy of the database after more calls have gone out.
func TestRestoredDatabase(t *testing.T) {
	t.Parallel()
	for _, row := range []string{"the server runs", "the server is killed", "the server is stopped", "the ring is missing"} {
		t.Run(row, func(t *testing.T) {
			t.Parallel()
			s, web := pgtest.Start(t, nil), newOutside(t)
			p, flags := database(t, s)
			said := p.up(flags...)
			t.Cleanup(p.kill)
			c := p.connect()
			defer c.Close()
			p.addGuest(c)
			post := func(path string) op { return op{"Post": web.URL + path} }
			gate := op{"Receive": "go"}
			mustWant(t, c, "answered", post("/answered"), gate)
			mustWant(t, c, "steady", gate, post("/steady"))
			mustWant(t, c, "behind", gate, post("/behind"))
			mustWant(t, c, "twice", gate, post("/twice1"), post("/twice2"))
			mustTurn(t, c, "answered", 2)

			s.Stop(t, pgtest.Fast)
			p.health("disconnected")
			copyData(t, s, "data", "backup")
			s.StartAgain(t)
			p.health("ok")
			goOn(t, c, "behind")
			goOn(t, c, "twice")
			mustWant(t, c, "gone", post("/gone"), gate)
			mustWant(t, c, "unseen", gate) // nobody outside has heard of it
			for _, path := range []string{"/behind", "/twice2", "/gone"} {
				web.wait(path)
			}
			mustBe(t, c, "behind", flawless.Completed)

			switch row {
			case "the server is stopped":
				if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
					t.Fatal(err)
				}
				p.ends(20 * time.Second)
			case "the server is killed", "the ring is missing":
				p.kill()
			}
			s.Stop(t, pgtest.Fast)
			copyData(t, s, "backup", "data")
			s.StartAgain(t)
			if row == "the ring is missing" {
				if err := os.Remove(filepath.Join(p.dir, "ring")); err != nil {
					t.Fatal(err)
				}
				questioned(t, p, s, flags, c)
				web.once(t, "/answered", "/behind", "/twice1", "/twice2", "/gone", "/steady")
				return
			}
			if row == "the server runs" {
				_, _, _ = c.Runs(t.Context(), flawless.Filter{}) // it reads, and so notices
				said.wait(t, "starting again")
				mustAnswer(t, c)
			} else {
				p.up(flags...)
			}

			behind := mustDoubt(t, c, "behind", "POST "+web.URL+"/behind", "lost acknowledged writes")
			gone := mustDoubt(t, c, "gone", "POST "+web.URL+"/gone", "the run itself is lost")
			if r := mustBe(t, c, "twice", flawless.Unresolved); len(r.Unresolved) != 2 {
				t.Errorf("unresolved of twice are %+v", r.Unresolved)
			}
			mustBe(t, c, "answered", flawless.Waiting)
			mustBe(t, c, "steady", flawless.Waiting)
			if _, err := c.Run(t.Context(), "unseen", false); flawless.CodeOf(err) != flawless.NotFound {
				t.Errorf("a run without calls that the database has lost: %v", err)
			}
			if h, err := c.History(t.Context()); err != nil || h.Open {
				t.Errorf("the history is %+v, %v", h, err)
			}
			if err := want(t, c, "gone", post("/gone"), gate); flawless.CodeOf(err) != flawless.Conflict || !strings.Contains(err.Error(), "lost a run") {
				t.Errorf("starting a lost run again: %v", err)
			}

			// It took effect: the call is answered when the run makes it again.
			goOn(t, c, "behind")
			mustResolve(t, c, "behind", flawless.Decision{Call: behind.Call, Resolution: flawless.Respond})
			mustBe(t, c, "behind", flawless.Completed)
			// Nothing of it took effect, says somebody who should know better: the id is free.
			mustResolve(t, c, "gone", flawless.Decision{Call: gone.Call, Resolution: flawless.Retry})
			mustWant(t, c, "gone", gate)
			goOn(t, c, "steady")
			mustBe(t, c, "steady", flawless.Completed)
			web.once(t, "/answered", "/behind", "/twice1", "/twice2", "/gone", "/steady")

			// Nothing is found twice.
			p.kill()
			p.up(flags...)
			d := p.connect()
			defer d.Close()
			mustBe(t, d, "behind", flawless.Completed)
			mustBe(t, d, "gone", flawless.Waiting)
			mustBe(t, d, "twice", flawless.Unresolved)
			web.once(t, "/answered", "/behind", "/twice1", "/twice2", "/gone", "/steady")
		})
	}
}

// questioned starts a server that cannot know what it has done, and lets somebody decide.
func questioned(t *testing.T, p *process, s *pgtest.Server, flags []string, c *client.Client) {
	t.Helper()
	if code, out := p.command("store", "restored", "--store", s.URL(pgtest.WithPassword), "--store-schema", "other"); code != 0 {
		t.Fatalf("store restored ends with %d: %s", code, out)
	}
	said := p.up(flags...)
	said.wait(t, "history accept --yes")
	held := []string{"answered", "steady", "behind", "twice"}
	check := func() {
		t.Helper()
		for _, id := range held {
			if r := mustBe(t, c, id, flawless.Paused); r.Pause == nil || !r.Pause.Lost {
				t.Errorf("%s is held because of %+v", id, r.Pause)
			}
		}
	}
	check()
	if err := want(t, c, "gone", op{"Receive": "go"}); flawless.CodeOf(err) != flawless.Conflict || !strings.Contains(err.Error(), "history accept") {
		t.Errorf("starting a run that may be lost: %v", err)
	}
	for _, id := range held {
		goOn(t, c, id)
	}
	p.kill()
	p.up(flags...) // the question is there until somebody decides
	check()
	if code, out := p.command("history", "--socket", p.connectAddress()); code != 0 || !strings.Contains(out, "in question") || !strings.Contains(out, "4 runs held") {
		t.Errorf("history ends with %d: %s", code, out)
	}
	if code, out := p.command("history", "accept", "--socket", p.connectAddress()); code != 2 || !strings.Contains(out, "--yes") {
		t.Errorf("history accept without --yes ends with %d: %s", code, out)
	}
	for _, id := range []string{"behind", "twice"} { // somebody has found out that they must not go on
		if _, err := c.Terminate(t.Context(), id, flawless.Cancel{}); err != nil {
			t.Fatal(err)
		}
	}
	if code, out := p.command("history", "accept", "--yes", "--note", "we looked", "--socket", p.connectAddress()); code != 0 || !strings.Contains(out, "accepted") {
		t.Errorf("history accept ends with %d: %s", code, out)
	}
	mustBe(t, c, "answered", flawless.Completed)
	mustBe(t, c, "steady", flawless.Completed)
	mustWant(t, c, "gone", op{"Receive": "go"})
	if h, err := c.AcceptHistory(t.Context(), "", ""); err != nil || h.Note != "we looked" {
		t.Errorf("accepting it again: %+v, %v", h, err)
	}
	if code, out := p.command("history", "--socket", p.connectAddress()); code != 0 || !strings.Contains(out, "we looked") {
		t.Errorf("history ends with %d: %s", code, out)
	}
}

// TestFailoverToAsynchronousStandby promotes a standby that lacks the newest writes, while calls are under way.
func TestFailoverToAsynchronousStandby(t *testing.T) {
	t.Parallel()
	s, web := pgtest.Start(t, nil), newOutside(t)
	p, _ := database(t, s)
	b := s.Standby(t)
	both := fmt.Sprintf("postgres://%s@127.0.0.1:%d,127.0.0.1:%d/%s?sslmode=disable", pgtest.User, s.Port(), b.Port(), pgtest.Database)
	flags := []string{"--store", both, "--drain", "1s"}
	said := p.up(flags...)
	t.Cleanup(p.kill)
	c := p.connect()
	defer c.Close()
	p.addGuest(c)
	post := func(path string) op { return op{"Post": web.URL + path} }
	gate := op{"Receive": "go"}
	const n = 20
	var paths []string
	for i := range n {
		mustWant(t, c, fmt.Sprintf("behind-%d", i), gate, post(fmt.Sprintf("/behind-%d", i)), gate)
		mustWant(t, c, fmt.Sprintf("steady-%d", i), gate, post(fmt.Sprintf("/steady-%d", i)))
	}
	mustWant(t, c, "in-flight", post("/slow-1"))
	web.wait("/slow-1")
	for s.Exec(t, "SELECT count(*) FROM pg_stat_replication WHERE replay_lsn = pg_current_wal_lsn()") != "1" {
	}
	b.Unfollow(t)
	for i := range n {
		goOn(t, c, fmt.Sprintf("behind-%d", i))
		mustWant(t, c, fmt.Sprintf("gone-%d", i), post(fmt.Sprintf("/gone-%d", i)), gate)
		paths = append(paths, fmt.Sprintf("/behind-%d", i), fmt.Sprintf("/gone-%d", i))
	}
	mustWant(t, c, "in-flight-2", post("/slow-2"))
	for _, path := range append(paths, "/slow-2") {
		web.wait(path)
	}
	s.Stop(t, pgtest.Immediate)
	b.Promote(t)
	said.wait(t, "starting again")
	mustAnswer(t, c)
	close(web.slow)
	for i := range n {
		mustDoubt(t, c, fmt.Sprintf("behind-%d", i), fmt.Sprintf("POST %s/behind-%d", web.URL, i), "lost acknowledged writes")
		mustDoubt(t, c, fmt.Sprintf("gone-%d", i), fmt.Sprintf("POST %s/gone-%d", web.URL, i), "the run itself is lost")
		mustBe(t, c, fmt.Sprintf("steady-%d", i), flawless.Waiting)
		goOn(t, c, fmt.Sprintf("steady-%d", i))
		paths = append(paths, fmt.Sprintf("/steady-%d", i))
	}
	mustDoubt(t, c, "in-flight", "POST "+web.URL+"/slow-1", "the engine stopped after the call began")
	mustDoubt(t, c, "in-flight-2", "POST "+web.URL+"/slow-2", "the run itself is lost")
	for i := range n {
		mustBe(t, c, fmt.Sprintf("steady-%d", i), flawless.Completed)
	}
	if h, err := c.History(t.Context()); err != nil || h.Open {
		t.Errorf("the history is %+v, %v", h, err)
	}
	web.once(t, append(paths, "/slow-1", "/slow-2")...)
}

// TestSwitchover promotes a standby that has all writes. Nobody has to decide anything.
func TestSwitchover(t *testing.T) {
	t.Parallel()
	s, web := pgtest.Start(t, nil), newOutside(t)
	p, _ := database(t, s)
	b := s.Standby(t)
	both := fmt.Sprintf("postgres://%s@127.0.0.1:%d,127.0.0.1:%d/%s?sslmode=disable", pgtest.User, s.Port(), b.Port(), pgtest.Database)
	said := p.up("--store", both, "--drain", "1s")
	t.Cleanup(p.kill)
	c := p.connect()
	defer c.Close()
	p.addGuest(c)
	mustWant(t, c, "run", op{"Post": web.URL + "/1"}, op{"Receive": "go"}, op{"Post": web.URL + "/2"})
	mustTurn(t, c, "run", 2)
	s.Stop(t, pgtest.Fast) // sends everything to its standbys first
	b.Promote(t)
	goOn(t, c, "run")
	mustBe(t, c, "run", flawless.Completed)
	said.wait(t, "another primary")
	web.once(t, "/1", "/2")
}
