package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/project"
	"github.com/flawless-engine/flawless/internal/store/postgres/pgtest"
)

var kills = flag.Int("kills", 5, "number of times that TestKill9 kills the server")

// built returns a directory with the command and a guest, which are built once.
var built = sync.OnceValues(func() (dir string, err error) {
	if dir, err = os.MkdirTemp("", "flawless-test"); err != nil {
		return "", err
	}
	if out, err := exec.Command("go", "build", "-o", filepath.Join(dir, "flawless"), ".").CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	file := filepath.Join(dir, "guest.wasm")
	if _, err = project.Build(context.Background(), filepath.Join("..", "..", "internal", "engine", "testdata", "guest"), file, false, func(string) {}); err != nil {
		return dir, err
	}
	return dir, spoil(file)
})

// spoil writes invalid inputs next to a guest: a component, half of the guest, and a module and an input that are
// too large.
func spoil(file string) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	large := append(slices.Clone(b), make([]byte, 64<<20)...)
	component := []byte{0, 'a', 's', 'm', 13, 0, 1, 0}
	return errors.Join(os.WriteFile(file+".component", component, 0o600), os.WriteFile(file+".half", b[:len(b)/2], 0o600), os.WriteFile(file+".large", large, 0o600),
		os.WriteFile(file+".long", []byte(`"`+strings.Repeat("x", 4<<20)+`"`), 0o600))
}

// process is a server in its own process.
type process struct {
	t      *testing.T
	binary string
	dir    string
	port   int
	env    []string // in addition to that of the test
	cmd    *exec.Cmd
}

// shareCompiled lets servers share compiled code, because compiling takes seconds.
func shareCompiled(built, dir string) error {
	shared := filepath.Join(built, "compiled")
	return errors.Join(os.MkdirAll(shared, 0o700), os.MkdirAll(dir, 0o700), os.Symlink(shared, filepath.Join(dir, "compiled")))
}

var ports atomic.Int32

// freePort returns a port that no other test of this process gets. It is outside of the ephemeral range, so that
// nothing takes it while a server is restarted.
func freePort(t testing.TB) int {
	t.Helper()
	for range 1000 {
		port := 20000 + (os.Getpid()*31+int(ports.Add(1)))%7000
		tcp, err := net.Listen("tcp", net.JoinHostPort("localhost", strconv.Itoa(port)))
		if err != nil {
			continue
		}
		udp, err := net.ListenPacket("udp", net.JoinHostPort("localhost", strconv.Itoa(port)))
		_ = tcp.Close()
		if err != nil {
			continue
		}
		_ = udp.Close()
		return port
	}
	t.Fatal("no port is free")
	return 0
}

func (p *process) connect() *client.Client {
	c, err := client.New(client.Options{Socket: "127.0.0.1:" + strconv.Itoa(p.port), NoQUIC: true, Patience: -1})
	if err != nil {
		p.t.Fatal(err)
	}
	return c
}

// up starts the server, waits until it is up, and returns its output.
func (p *process) up(flags ...string) *lines {
	p.t.Helper()
	said := newLines()
	p.cmd = exec.Command(p.binary, append([]string{"--working-dir", p.dir, "--socket", "127.0.0.1:" + strconv.Itoa(p.port), "up"}, flags...)...)
	p.cmd.Env = append(append(p.cmd.Environ(), "FLAWLESS_TOKEN="), p.env...)
	p.cmd.Stdout, p.cmd.Stderr = said, said
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	said.wait(p.t, "is up")
	return said
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// TestKill9 kills the real server under load, many times, and checks the requests that an outside server counted: no
// non-idempotent call arrived twice, no call was lost, and every accepted run ended or is unresolved for a reason. With
// the store in a database, the database server is killed, too.
func TestKill9(t *testing.T) {
	t.Run("working directory", func(t *testing.T) { kill9(t, nil, nil) })
	t.Run("PostgreSQL", func(t *testing.T) {
		s := pgtest.Start(t, nil)
		kill9(t, []string{"--store", s.URL(pgtest.User)}, func() {
			s.Stop(t, pgtest.Immediate)
			s.StartAgain(t)
		})
	})
}

// kill9 kills a server with flags, and after every other time calls also.
func kill9(t *testing.T, flags []string, also func()) {
	dir, err := built()
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	seen := map[string]int{}
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		mu.Lock()
		seen[r.URL.Path]++
		mu.Unlock()
		fmt.Fprintf(w, "did %s", r.URL.Path)
	}))
	defer web.Close()
	p := &process{t: t, binary: filepath.Join(dir, "flawless"), dir: t.TempDir(), port: freePort(t)}
	p.up(flags...)
	defer func() { p.kill() }()
	bin, err := os.ReadFile(filepath.Join(dir, "guest.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	c := p.connect()
	defer c.Close()
	if _, _, err := c.AddModule(t.Context(), "guest", bin, nil); err != nil {
		t.Fatal(err)
	}

	stop, cancel := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	accepted := map[string]bool{}
	for k := range 4 {
		clients.Go(func() {
			for n := 0; stop.Err() == nil; n++ {
				id := fmt.Sprintf("run-%d-%d", k, n)
				if startFor(t, c, id, web.URL) {
					mu.Lock()
					accepted[id] = true
					mu.Unlock()
				}
			}
		})
	}
	pause := func() { <-time.After(200*time.Millisecond + rand.N(600*time.Millisecond)) }
	for n := range *kills {
		pause()
		p.kill()
		p.up(flags...)
		if also != nil && n%2 == 0 {
			pause()
			also()
		}
	}
	cancel()
	clients.Wait()

	doubts := 0
	for id := range accepted {
		doubts += settleRun(t, c, id, web.URL, func(path string) bool {
			mu.Lock()
			defer mu.Unlock()
			return seen[path] > 0
		})
	}
	for id := range accepted {
		for step := range 5 {
			post, put := fmt.Sprintf("/%s/post%d", id, step), fmt.Sprintf("/%s/put%d", id, step)
			if seen[post] != 1 {
				t.Errorf("%s was seen %d times", post, seen[post])
			}
			if seen[put] == 0 {
				t.Errorf("%s was never seen", put)
			}
		}
	}
	for path, n := range seen {
		if strings.Contains(path, "/post") && n > 1 {
			t.Errorf("%s was seen %d times", path, n)
		}
	}
	if len(accepted) < *kills {
		t.Errorf("only %d runs were accepted, too few to prove anything", len(accepted))
	}
	t.Logf("%d kills, %d runs, %d calls with unknown outcome", *kills, len(accepted), doubts)
}

func script(id, url string) json.RawMessage {
	var steps []map[string]any
	for k := range 5 {
		steps = append(steps, map[string]any{"post": fmt.Sprintf("/%s/post%d", id, k)}, map[string]any{"put": fmt.Sprintf("/%s/put%d", id, k)}, map[string]any{"sleep": 500})
	}
	b, err := json.Marshal(map[string]any{"url": url, "steps": steps})
	if err != nil {
		panic(err)
	}
	return b
}

// startFor starts a run, and repeats the request with the same id until there is an answer.
func startFor(t *testing.T, c *client.Client, id, url string) bool {
	late := time.After(30 * time.Second)
	for {
		_, _, err := c.Start(t.Context(), client.Start{Module: "guest", Workflow: "script", Input: script(id, url), ID: id}, false)
		if err == nil {
			return true
		}
		if errors.Is(err, flawless.Invalid) || errors.Is(err, flawless.Conflict) {
			t.Errorf("starting %s: %v", id, err)
			return false
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-late:
			t.Errorf("starting %s: %v", id, err)
			return false
		}
	}
}

// settleRun waits until a run has ended, and resolves calls with unknown outcome. It returns their number.
func settleRun(t *testing.T, c *client.Client, id, url string, happened func(path string) bool) (doubts int) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		r, err := c.Run(ctx, id, true)
		if errors.Is(err, flawless.Stopping) && ctx.Err() == nil { // its database is starting
			<-time.After(50 * time.Millisecond)
			continue
		}
		if err != nil {
			t.Errorf("%s does not end: %v", id, err)
			return doubts
		}
		if r.Status.Ended() {
			if r.Status != flawless.Completed {
				t.Errorf("%s is %s: %+v", id, r.Status, r.Failure)
			}
			return doubts
		}
		for _, d := range r.Unresolved {
			path := strings.TrimPrefix(d.Request, "POST "+url)
			if !strings.Contains(path, "/post") || d.Reason == "" {
				t.Errorf("%s: the outcome of a call is unknown that should not be: %+v", id, d)
			}
			word := flawless.Decision{Call: d.Call, Resolution: flawless.Retry, Confirm: true}
			if happened(path) {
				word = flawless.Decision{Call: d.Call, Resolution: flawless.Respond, Body: []byte("did " + path)}
			}
			doubts++
			if _, err := c.Resolve(ctx, id, word); err != nil {
				t.Errorf("%s: %v", id, err)
			}
		}
	}
}

func (p *process) connectAddress() string { return "127.0.0.1:" + strconv.Itoa(p.port) }

// commandOf returns a command with the working directory of the server.
func (p *process) commandOf(args ...string) *exec.Cmd {
	cmd := exec.Command(p.binary, append([]string{"--working-dir", p.dir}, args...)...)
	cmd.Env = append(append(cmd.Environ(), "FLAWLESS_TOKEN="), p.env...)
	return cmd
}

// command runs a command with the working directory of the server, and returns its exit code and output.
func (p *process) command(args ...string) (int, string) {
	p.t.Helper()
	cmd := p.commandOf(args...)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		p.t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}
