// Command bench measures the engine beside two floors, in one run on this machine, and writes the
// figures into docs/performance.md. F is one durable append (4 KiB, fdatasync, into a file that was
// filled with zeros before), H one HTTP POST over loopback.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
)

func main() {
	doc := flag.String("doc", "docs/performance.md", "file whose generated part is rewritten; empty only prints")
	gate := flag.Bool("upgrade", false, "measure replay, upgrade and bundles, and nothing else")
	profile := flag.String("profile", "", "write a CPU profile of an engine in this process to this file, and nothing else")
	flag.Parse()
	if flag.Arg(0) == "outside" {
		outside()
		return
	}
	b := &bench{}
	var err error
	switch {
	case *profile != "":
		err = profiled(*profile)
	case *gate:
		*doc = ""
		if b.dir, err = os.MkdirTemp("", "bench-"); err == nil {
			err = b.upgrade(context.Background())
		}
		b.clean()
	default:
		err = b.run(context.Background())
		b.clean()
	}
	if err == nil && *profile == "" {
		fmt.Print(b.report())
		if *doc != "" {
			err = b.write(*doc)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// outside is the server that the workflows call, in a process of its own.
func outside() {
	var n atomic.Int64
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("http://" + l.Addr().String())
	_ = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		n.Add(1)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"id":"ch_1"}`)
	}))
}

type bench struct {
	dir            string
	server, remote *exec.Cmd
	url            string
	socket         string
	port           int
	f, h           []time.Duration
	rows           []row
}

// row is one figure with its goal.
type row struct {
	what, figure, goal string
	met                bool
}

func (b *bench) run(ctx context.Context) (err error) {
	if b.dir, err = os.MkdirTemp(".", ".bench-"); err != nil {
		return err
	}
	if b.dir, err = filepath.Abs(b.dir); err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "building")
	binary := filepath.Join(b.dir, "flawless")
	if out, err := exec.Command("go", "build", "-o", binary, "./cmd/flawless").CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	module, err := buildGuest(b.dir)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	b.remote = exec.Command(self, "outside")
	pipe, err := b.remote.StdoutPipe()
	if err != nil {
		return err
	}
	if err := b.remote.Start(); err != nil {
		return err
	}
	line, err := bufio.NewReader(pipe).ReadString('\n')
	if err != nil {
		return err
	}
	b.url = strings.TrimSpace(line)
	c, err := b.up(ctx, binary)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, _, err := c.AddModule(ctx, "bench", module, nil); err != nil {
		return err
	}
	for _, step := range []struct {
		what string
		do   func(context.Context, *client.Client) error
	}{
		{"floors", b.floors}, {"chain", b.chain}, {"floors", b.floors}, {"empty", b.empty}, {"floors", b.floors},
		{"64 clients, calls", b.calls}, {"64 clients, empty runs", b.starts}, {"floors", b.floors},
	} {
		fmt.Fprintln(os.Stderr, step.what)
		if err := step.do(ctx, c); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
	}
	fmt.Fprintln(os.Stderr, "upgrade of 10,000 open runs")
	if err := b.upgrade(ctx); err != nil {
		return fmt.Errorf("upgrade: %w", err)
	}
	b.rows = append(b.rows, row{"resident memory of the server at the end", fmt.Sprintf("%d MiB", resident(b.server.Process.Pid)>>20), "", true})
	return b.finish()
}

func buildGuest(dir string) ([]byte, error) { return buildEdition(dir, "first") }

func buildEdition(dir, edition string) ([]byte, error) {
	out := filepath.Join(dir, "guest.wasm")
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-ldflags=-X main.edition="+edition, "-o", out, ".")
	cmd.Dir = filepath.Join("bench", "guest")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOWORK=off")
	if text, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, text)
	}
	return os.ReadFile(out)
}

func (b *bench) up(ctx context.Context, binary string) (*client.Client, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	b.port = l.Addr().(*net.TCPAddr).Port
	_ = l.Close()
	b.socket = "127.0.0.1:" + strconv.Itoa(b.port)
	b.server = exec.Command(binary, "--working-dir", filepath.Join(b.dir, "data"), "--socket", b.socket, "up")
	b.server.Stderr = os.Stderr
	if err := b.server.Start(); err != nil {
		return nil, err
	}
	for range 200 {
		c, err := client.New(client.Options{Socket: b.socket, NoQUIC: true})
		if err != nil {
			return nil, err
		}
		if _, err := c.Version(ctx); err == nil {
			return c, nil
		}
		_ = c.Close()
		<-time.After(50 * time.Millisecond)
	}
	return nil, errors.New("the server does not come up")
}

func (b *bench) clean() {
	for _, c := range []*exec.Cmd{b.server, b.remote} {
		if c != nil && c.Process != nil {
			_ = c.Process.Signal(syscall.SIGTERM)
			_ = c.Wait()
		}
	}
	_ = os.RemoveAll(b.dir)
}

// floors measures F and H some more. They are measured between the figures, since the machine's
// speed drifts.
func (b *bench) floors(ctx context.Context, _ *client.Client) error {
	const n, page, room = 200, 4096, 8 << 20
	f, err := os.Create(filepath.Join(b.dir, "floor"))
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(make([]byte, room)); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	block := bytes.Repeat([]byte{1}, page)
	for k := range n {
		t := time.Now()
		if _, err := f.WriteAt(block, int64(k*page)); err != nil {
			return err
		}
		if err := syscall.Fdatasync(int(f.Fd())); err != nil {
			return err
		}
		b.f = append(b.f, time.Since(t))
	}
	hc := &http.Client{}
	for range n {
		t := time.Now()
		resp, err := hc.Post(b.url, "application/json", strings.NewReader(`{"amount":1999,"currency":"EUR"}`))
		if err != nil {
			return err
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		b.h = append(b.h, time.Since(t))
	}
	hc.CloseIdleConnections()
	return ctx.Err()
}

func median(d []time.Duration) time.Duration {
	d = slices.Clone(d)
	slices.Sort(d)
	if len(d) == 0 {
		return 0
	}
	return d[len(d)/2]
}

func (b *bench) start(ctx context.Context, c *client.Client, workflow string, n int) (flawless.Run, error) {
	in, err := json.Marshal(map[string]any{"url": b.url, "n": n})
	if err != nil {
		return flawless.Run{}, err
	}
	r, _, err := c.Start(ctx, client.Start{Module: "bench", Workflow: workflow, Input: in}, true)
	if err == nil && r.Status != flawless.Completed {
		err = fmt.Errorf("a run is %s: %+v", r.Status, r.Failure)
	}
	return r, err
}

var chains, empties, emptiesQUIC []time.Duration

// chain is the time per call in a run of 100 POSTs.
func (b *bench) chain(ctx context.Context, c *client.Client) error {
	const n = 100
	for k := range 12 {
		t := time.Now()
		if _, err := b.start(ctx, c, "chain", n); err != nil {
			return err
		}
		if k >= 2 { // the first ones warm up
			chains = append(chains, time.Since(t)/n)
		}
	}
	return nil
}

// empty is the time from start to completion of a run that does nothing.
func (b *bench) empty(ctx context.Context, c *client.Client) error {
	q, err := client.New(client.Options{Socket: b.socket})
	if err != nil {
		return err
	}
	defer q.Close()
	for k := range 220 {
		t := time.Now()
		if _, err := b.start(ctx, c, "empty", 0); err != nil {
			return err
		}
		u := time.Now()
		if _, err := b.start(ctx, q, "empty", 0); err != nil {
			return err
		}
		if k >= 20 {
			empties = append(empties, u.Sub(t))
			emptiesQUIC = append(emptiesQUIC, time.Since(u))
		}
	}
	return nil
}

// many lets 64 clients start runs for some seconds and returns how many ended per second.
func (b *bench) many(ctx context.Context, c *client.Client, workflow string, n int) (float64, error) {
	const clients, length = 64, 5 * time.Second
	var done atomic.Int64
	var wg sync.WaitGroup
	var mu sync.Mutex
	var failed error
	began := time.Now()
	for range clients {
		wg.Go(func() {
			for time.Since(began) < length {
				if _, err := b.start(ctx, c, workflow, n); err != nil {
					mu.Lock()
					failed = err
					mu.Unlock()
					return
				}
				done.Add(1)
			}
		})
	}
	wg.Wait()
	return float64(done.Load()) / time.Since(began).Seconds(), failed
}

var callRate, startRate float64

func (b *bench) calls(ctx context.Context, c *client.Client) (err error) {
	const n = 10
	callRate, err = b.many(ctx, c, "chain", n)
	callRate *= n
	return err
}

func (b *bench) starts(ctx context.Context, c *client.Client) (err error) {
	startRate, err = b.many(ctx, c, "empty", 0)
	return err
}

func us(d time.Duration) string { return fmt.Sprintf("%.0f µs", float64(d)/1e3) }

// finish turns what was measured into rows.
func (b *bench) finish() error {
	f, h := median(b.f), median(b.h)
	floor := float64(f + h)
	ratio := func(what string, d time.Duration, goal float64, aim string) row {
		x := float64(d) / floor
		return row{what, fmt.Sprintf("%s = %.2f × (F + H)", us(d), x), aim, x <= goal}
	}
	b.rows = append([]row{
		{"F: durable append, 4 KiB", us(f), "", true},
		{"H: HTTP POST over loopback", us(h), "", true},
		ratio("chain of 100 POSTs, per call", median(chains), 2, "≤ 2 × (F + H)"),
		ratio("empty run, start to completion, TCP", median(empties), 3, "≤ 3 × (F + H)"),
		ratio("empty run, start to completion, QUIC", median(emptiesQUIC), 3, "≤ 3 × (F + H)"),
		{"64 clients, runs of 10 POSTs", fmt.Sprintf("%.0f calls/s", callRate), "≥ 5000 calls/s", callRate >= 5000},
		{"64 clients, empty runs", fmt.Sprintf("%.0f runs/s", startRate), "", true},
	}, b.rows...)
	return nil
}

func (b *bench) report() string {
	var s strings.Builder
	fmt.Fprintf(&s, "Machine: %s, %d cores, %s/%s, %s, Linux %s.\n\n", cpu(), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version(), kernel())
	s.WriteString("| what | median | goal | |\n|---|---|---|---|\n")
	for _, r := range b.rows {
		verdict := ""
		if r.goal != "" {
			verdict = "missed"
			if r.met {
				verdict = "met"
			}
		}
		fmt.Fprintf(&s, "| %s | %s | %s | %s |\n", r.what, r.figure, r.goal, verdict)
	}
	return s.String()
}

const begin, end = "<!-- figures: written by make bench -->", "<!-- end of figures -->"

func (b *bench) write(name string) error {
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	head, rest, found := strings.Cut(string(text), begin)
	_, tail, closed := strings.Cut(rest, end)
	if !found || !closed {
		return fmt.Errorf("%s has no place for the figures", name)
	}
	return os.WriteFile(name, []byte(head+begin+"\n"+b.report()+end+tail), 0o644)
}

func cpu() string {
	b, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(b)) {
		if name, is := strings.CutPrefix(line, "model name"); is {
			return strings.TrimSpace(strings.TrimLeft(strings.TrimSpace(name), ":"))
		}
	}
	return "unknown CPU"
}

func kernel() string {
	b, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return strings.TrimSpace(string(b))
}

// resident is the memory of a process in bytes.
func resident(pid int) int64 {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	f := strings.Fields(string(b))
	if len(f) < 2 {
		return 0
	}
	n, _ := strconv.ParseInt(f[1], 10, 64)
	return n * int64(os.Getpagesize())
}
