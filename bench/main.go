// Command bench measures the engine and compares it with floors on the same machine. It writes raw results to
// docs/internals/performance/results.json, plots beside it, and tables to docs/internals/performance.md. F is one
// durable append (4 KiB, fdatasync, into a file preallocated with zeros), H one HTTP POST over loopback, and P one INSERT of
// 4 KiB into PostgreSQL, committed.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// part is a section that can be measured separately.
type part struct {
	name string
	do   func(*bench, context.Context) error
}

var parts = []part{
	{"http", (*bench).overHTTP},
	{"start", (*bench).startWithoutStorage},
	{"sleepers", (*bench).sleepers},
	{"overdue", (*bench).overdue},
	{"busy", (*bench).busy},
	{"long", (*bench).longRun},
	{"replay", (*bench).replaySpeed},
	{"upgrade", (*bench).upgrade},
	{"freeze", (*bench).freezing},
	{"meter", (*bench).metering},
	{"rust", (*bench).rust},
	{"ts", (*bench).typeScript},
	{"together", (*bench).together},
	{"postgres", (*bench).onPostgres},
	{"nodes", (*bench).overNodes},
	{"takeover", (*bench).takeovers},
	{"console", (*bench).console},
}

// sizes says how much to measure.
type sizes struct {
	chains, empties int
	length          time.Duration // duration of a load by many clients
	sleepers        []int
	overdue         int
	busy            []int         // active runs
	turns           []int         // number of turns of long runs
	replayed        int           // calls
	samples         int           // of measurements in this process
	repeats         int           // number of restarts
	children        int           // of one run
	messages        int           // between two runs, both ways
	contending      int           // runs that share one state
	upgraded        int           // open runs
	rounds          int           // of a load by many clients
	lease           time.Duration // of nodes
	listed          int           // runs in the lists of the console
	opened          int           // calls of a run in the console
}

func full() sizes {
	return sizes{chains: 40, empties: 2000, length: 5 * time.Second, sleepers: []int{1_000, 10_000, 100_000, 1_000_000},
		overdue: 1000, busy: []int{2_000, 10_000}, turns: []int{1_000, 10_000, 100_000}, replayed: 5000, samples: 2000, repeats: 5,
		children: 1000, messages: 10_000, contending: 1000, upgraded: 10_000, rounds: 3, lease: 10 * time.Second, listed: 10_000, opened: 10_000}
}

func quick() sizes {
	return sizes{chains: 2, empties: 10, length: time.Second, sleepers: []int{100, 400}, overdue: 50, busy: []int{200}, turns: []int{150, 1500}, replayed: 200, samples: 50, repeats: 1,
		children: 20, messages: 40, contending: 20, upgraded: 50, rounds: 1, lease: 3 * time.Second, listed: 200, opened: 200}
}

func main() {
	doc := flag.String("doc", "docs/internals/performance.md", "file whose generated part is written anew; empty only prints")
	kept := flag.String("results", "docs/internals/performance/results.json", "raw results; plots are drawn beside them")
	chosen := flag.String("sections", "", "measure these only, such as http,freeze; the others stay as they were")
	draw := flag.Bool("draw", false, "measure nothing: write the tables and plots of the results that are kept")
	small := flag.Bool("quick", false, "small sizes, to try it")
	most := flag.Int("most", 0, "no more sleepers or active runs, and no longer runs, than this")
	store := flag.String("store", "", "address of a database for the sections postgres, nodes and takeover, and for -profile; without it, these sections start a PostgreSQL server")
	profile := flag.String("profile", "", "write a CPU profile of an engine in this process to this file, and nothing else")
	flag.Parse()
	if flag.Arg(0) == "outside" {
		outside()
		return
	}
	var err error
	switch {
	case *profile != "":
		err = profiled(*profile, *store)
	default:
		b := &bench{sizes: full(), store: *store}
		if *small {
			b.sizes, b.quick = quick(), true
		}
		b.atMost(*most)
		err = b.all(context.Background(), *kept, *doc, *chosen, *draw)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// bench runs the sections.
type bench struct {
	sizes  sizes
	quick  bool
	dir    string
	binary string
	module []byte // the guest
	remote *exec.Cmd
	url    string // URL of the outside server

	store    string // address of a database, "" starts one
	database *database

	f, h, p []float64 // floors of this section in µs
	current *section
}

// atMost removes larger sizes.
func (b *bench) atMost(n int) {
	if n > 0 {
		larger := func(k int) bool { return k > n }
		b.sizes.sleepers = slices.DeleteFunc(b.sizes.sleepers, larger)
		b.sizes.busy = slices.DeleteFunc(b.sizes.busy, larger)
		b.sizes.turns = slices.DeleteFunc(b.sizes.turns, larger)
	}
}

// all measures the chosen sections and then writes the results. If a section fails, the earlier ones are kept.
func (b *bench) all(ctx context.Context, kept, doc, chosen string, draw bool) error {
	names := make([]string, len(parts))
	for i, p := range parts {
		names[i] = p.name
	}
	want := names
	if chosen != "" {
		want = strings.Split(chosen, ",")
	}
	for _, name := range want {
		if !slices.Contains(names, name) {
			return fmt.Errorf("there is no section %q; there are %s", name, strings.Join(names, ", "))
		}
	}
	r, err := readResults(kept)
	if err != nil {
		return err
	}
	if !draw {
		defer b.clean()
		if err := b.prepare(ctx); err != nil {
			return err
		}
		for _, p := range parts {
			if !slices.Contains(want, p.name) {
				continue
			}
			if err := b.measure(ctx, p); err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
			r.put(b.current, names)
			if err := r.write(kept); err != nil {
				return err
			}
		}
	}
	return r.tell(doc, filepath.Dir(kept))
}

// measure runs one section.
func (b *bench) measure(ctx context.Context, p part) error {
	fmt.Fprintln(os.Stderr, "measuring", p.name)
	b.f, b.h, b.p = nil, nil, nil
	b.current = &section{Name: p.name, When: time.Now().UTC().Truncate(time.Second), Machine: machine(), Quick: b.quick}
	before := processors()
	if err := b.floors(ctx); err != nil {
		return err
	}
	if err := p.do(b, ctx); err != nil {
		return err
	}
	b.current.Stolen = processors().stolenSince(before)
	b.current.F, b.current.H = median(b.f), median(b.h)
	b.current.P = median(b.p)
	return nil
}

func (b *bench) put(f figure)     { b.current.Figures = append(b.current.Figures, f) }
func (b *bench) plot(p ...plot)   { b.current.Plots = append(b.current.Plots, p...) }
func (b *bench) note(text string) { fmt.Fprintln(os.Stderr, "  "+text) }

// prepare builds the command and the guest, and starts the outside server.
func (b *bench) prepare(ctx context.Context) (err error) {
	if b.dir, err = os.MkdirTemp(".", ".bench-"); err != nil {
		return err
	}
	if b.dir, err = filepath.Abs(b.dir); err != nil {
		return err
	}
	b.binary = filepath.Join(b.dir, "flawless")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", b.binary, "./cmd/flawless").CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	if b.module, err = buildGuest(b.dir); err != nil {
		return err
	}
	return b.callOutside()
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

func (b *bench) clean() {
	if b.remote != nil && b.remote.Process != nil {
		_ = b.remote.Process.Signal(syscall.SIGTERM)
		_ = b.remote.Wait()
	}
	if b.dir != "" {
		_ = os.RemoveAll(b.dir)
	}
}
