package guest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
)

const began = 1_700_000_000_000_000_000

// build compiles the guest that most tests use.
var build = built("basic", "")

// built compiles a guest of testdata once for all tests.
func built(guest, toolchain string) func() ([]byte, error) {
	return sync.OnceValues(func() ([]byte, error) { return buildWith(guest, toolchain) })
}

// olderRelease is the latest version of the previous release of Go. The go command downloads it if needed.
const olderRelease = "go1.25.5"

// releases are builds of a guest with the two latest releases of Go.
type releases map[string]func() ([]byte, error)

var (
	basic   = releases{"this release": build, "the one before": built("basic", olderRelease)}
	resting = releases{"this release": built("rest", ""), "the one before": built("rest", olderRelease)} // has the SDK
)

// each runs a test for each build.
func (r releases) each(t *testing.T, test func(t *testing.T, build func() ([]byte, error))) {
	for name, build := range r {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, build)
		})
	}
}

// buildWith builds a guest with a toolchain; "" is the one that runs the tests.
func buildWith(guest, toolchain string, flags ...string) ([]byte, error) {
	dir, err := os.MkdirTemp("", "guest")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "guest.wasm")
	cmd := exec.Command("go", append(append([]string{"build", "-buildmode=c-shared", "-o", out}, flags...), ".")...)
	cmd.Dir = filepath.Join("testdata", guest)
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=", "GOWORK=off")
	if toolchain != "" {
		cmd.Env = append(cmd.Env, "GOTOOLCHAIN="+toolchain)
	}
	if text, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%v: %s", err, text)
	}
	return os.ReadFile(out)
}

// compiled is a directory for compiled guests. Without it each test would take a second to compile its guest.
var compiled = sync.OnceValue(func() string {
	dir, err := os.MkdirTemp("", "guest-compiled")
	if err != nil {
		panic(err)
	}
	return dir
})

func TestMain(m *testing.M) {
	if file := os.Getenv(bitsOf); file != "" {
		if err := printBits(file); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	code := m.Run()
	_ = os.RemoveAll(compiled())
	os.Exit(code)
}

func load(t testing.TB, o Options) *Module {
	t.Helper()
	return loadBuilt(t, build, o)
}

func loadBuilt(t testing.TB, build func() ([]byte, error), o Options) *Module {
	t.Helper()
	bin, err := build()
	if err != nil {
		t.Fatal(err)
	}
	o.CacheDir = compiled()
	m, err := newRuntime(t, o).Load(t.Context(), bin, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close(context.Background()) })
	return m
}

func begin(t testing.TB, m *Module, in string, seed byte) *Instance {
	t.Helper()
	i, err := m.Start(t.Context(), Start{Run: "wkf_1", Module: "basic", Workflow: "w", Input: []byte(`"` + in + `"`),
		Seed: bytes.Repeat([]byte{seed}, 32), Time: began})
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func turn(t testing.TB, i *Instance, in In) Out {
	t.Helper()
	out, err := i.Turn(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func reply(c flawless.Call) flawless.Answer {
	return flawless.Answer{Call: c.N, Head: []byte("{}"), Body: []byte("reply to " + string(c.Body))}
}

// life runs the fan workflow to its end and returns the output of each turn and the hash after it.
func life(t *testing.T, m *Module, seed byte) (outs []Out, hashes [][32]byte) {
	t.Helper()
	return lifeOf(t, m, "fan", seed)
}

func lifeOf(t *testing.T, m *Module, workflow string, seed byte) (outs []Out, hashes [][32]byte) {
	t.Helper()
	i := begin(t, m, workflow, seed)
	defer i.Release()
	in := In{Time: began}
	for range 20 {
		out := turn(t, i, in)
		outs = append(outs, out)
		hashes = append(hashes, i.Hash())
		if out.Ended != nil {
			return outs, hashes
		}
		in.Answers = nil
		in.Time += 1000
		for n := len(out.Calls) - 1; n >= 0; n-- { // answered in reverse order
			in.Answers = append(in.Answers, reply(out.Calls[n]))
		}
		if len(in.Answers) == 0 {
			in.Time = out.Wake
		}
	}
	t.Fatal("the run does not end")
	return nil, nil
}

func TestRunTakesTurns(t *testing.T) {
	t.Parallel()
	outs, _ := life(t, load(t, Options{}), 1)
	if n := len(outs[0].Calls); n != 3 {
		t.Fatalf("the first turn made %d calls, want 3: %+v", n, outs[0])
	}
	if w := outs[1].Wake - began - 1000; time.Duration(w) != 50*time.Millisecond {
		t.Errorf("the timer is due after %v, want 50ms", time.Duration(w))
	}
	last := outs[len(outs)-1]
	if last.Ended.Failure != nil {
		t.Fatalf("it failed: %+v", last.Ended.Failure)
	}
	var sum string
	if err := json.Unmarshal(last.Ended.Output, &sum); err != nil || !strings.Contains(sum, "reply to request 0;") || !strings.HasSuffix(sum, "reply to last") {
		t.Errorf("output %s", last.Ended.Output)
	}
	var lines []string
	for _, o := range outs {
		for _, l := range o.Lines {
			lines = append(lines, l.Text)
		}
	}
	if got := strings.Join(lines, ","); got != "timed out,slept 48h0m0s" {
		t.Errorf("it printed %q", got)
	}
	if last.Cost == 0 {
		t.Error("the last turn cost nothing")
	}
}

func TestReplayGivesTheSameBits(t *testing.T) {
	t.Parallel()
	a := load(t, Options{})
	outs, hashes := life(t, a, 1)
	for _, m := range []*Module{a, load(t, Options{}), a, load(t, Options{copied: true}), load(t, Options{Interpreter: true})} {
		again, same := life(t, m, 1)
		if len(again) != len(outs) {
			t.Fatalf("%d turns, then %d", len(outs), len(again))
		}
		for k := range outs {
			if hashes[k] != same[k] {
				t.Errorf("memory differs after turn %d", k+1)
			}
			if outs[k].Cost != again[k].Cost {
				t.Errorf("turn %d cost %d, then %d", k+1, outs[k].Cost, again[k].Cost)
			}
		}
	}
}

func TestRunsDoNotShareRandomness(t *testing.T) {
	t.Parallel()
	basic.each(t, runsDoNotShareRandomness)
}

func runsDoNotShareRandomness(t *testing.T, build func() ([]byte, error)) {
	m := loadBuilt(t, build, Options{})
	draw := func(seed byte) string {
		i := begin(t, m, "random", seed)
		defer i.Release()
		return string(turn(t, i, In{Time: began}).Ended.Output)
	}
	one, two := draw(1), draw(2)
	if one == two {
		t.Errorf("two runs drew the same: %s", one)
	}
	if again := draw(1); again != one {
		t.Errorf("the replay of a run drew %s, the run %s", again, one)
	}
	if !m.Shared() {
		t.Error("no generator was found in the base image")
	}
}

func TestReusedInstanceHasNothingOfEarlierRuns(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]Options{"mapped": {}, "copied": {copied: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			nothingIsLeft(t, load(t, o))
		})
	}
}

func nothingIsLeft(t *testing.T, m *Module) {
	t.Helper()
	i := begin(t, m, "empty", 1)
	before := i.Hash()
	i.Release()
	i = begin(t, m, "dirty", 2)
	turn(t, i, In{Time: began})
	b, _ := i.mod.Memory().Read(0, i.mod.Memory().Size())
	pattern := bytes.Repeat([]byte{0xa5}, 4096)
	if !bytes.Contains(b, pattern) {
		t.Fatal("the pattern was not written: the test proves nothing")
	}
	if i.mod.Memory().Size() <= m.pages<<16 {
		t.Fatal("memory has not grown: the test proves nothing")
	}
	dirty := i.Hash()
	i.Release()
	if len(m.free) == 0 {
		t.Fatal("the instance is not used again: the test proves nothing")
	}
	for range 3 {
		i = begin(t, m, "empty", 1)
		b, _ := i.mod.Memory().Read(0, i.mod.Memory().Size())
		if bytes.Contains(b, pattern) {
			t.Error("memory of a run is left for the next")
		}
		if i.Hash() != before {
			t.Error("a used instance begins with other memory than a new one")
		}
		i.Release()
	}
	for range 3 {
		i = begin(t, m, "dirty", 2)
		turn(t, i, In{Time: began})
		if i.Hash() != dirty {
			t.Error("memory that grew again is not as it was in a new instance")
		}
		i.Release()
	}
}

func TestGuestFailures(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, in, kind, text string
		o                    Options
	}{
		{"a panic", "panic", "panic", "nil pointer", Options{}},
		{"an exit", "exit", "exit", "code 3", Options{}},
		{"memory above the limit", "memory", "memory", "64 MiB", Options{MemoryPages: 1024}},
		{"endless recursion", "deep", "", "", Options{}},
		{"an endless loop with a limit", "spin", "limit", "units", Options{TurnUnits: 50 << 20}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			i := begin(t, load(t, row.o), row.in, 1)
			defer i.Release()
			out := turn(t, i, In{Time: began})
			if out.Ended == nil || out.Ended.Failure == nil {
				t.Fatalf("it did not fail: %+v", out)
			}
			f := out.Ended.Failure
			if row.kind != "" && f.Kind != row.kind || !strings.Contains(f.Message, row.text) {
				t.Errorf("failure %q: %q, want %q with %q\nstack %s", f.Kind, f.Message, row.kind, row.text, f.Stack)
			}
			t.Logf("%s: %s", f.Kind, f.Message)
			if _, err := i.Turn(t.Context(), In{}); err == nil {
				t.Error("it took another turn")
			}
		})
	}
}

func TestTrapStackIsDemangled(t *testing.T) {
	t.Parallel()
	trap := errors.New("wasm error: unreachable\nwasm stack trace:\n\t._ZN10hello_rust5greet17h99e762c02616480dE(i32) i32\n\t.flawless_start()")
	if got, want := wasmStack(trap), "\t.hello_rust::greet(i32) i32\n\t.flawless_start()"; got != want {
		t.Errorf("the stack is %q, want %q", got, want)
	}
}

func TestTurnLimitStopsAtTheSameUnit(t *testing.T) {
	t.Parallel()
	m := load(t, Options{TurnUnits: 3 << 20})
	var cost uint64
	for k := range 3 {
		i := begin(t, m, "spin", 1)
		out := turn(t, i, In{Time: began})
		if k > 0 && out.Cost != cost {
			t.Errorf("it was stopped after %d units, then after %d", cost, out.Cost)
		}
		cost = out.Cost
		i.Release()
	}
}

func TestCancelledTurnStops(t *testing.T) {
	t.Parallel()
	i := begin(t, load(t, Options{}), "spin", 1)
	defer i.Release()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := i.Turn(ctx, In{Time: began}); err != context.DeadlineExceeded {
		t.Errorf("the turn ended with %v", err)
	}
}

func TestWaitingForNothingIsVisible(t *testing.T) {
	t.Parallel()
	i := begin(t, load(t, Options{}), "nothing", 1)
	defer i.Release()
	if out := turn(t, i, In{Time: began}); out.Wake != 0 || out.Ended != nil {
		t.Errorf("it waits: %+v", out)
	}
}

func TestCallsAfterTheEndAreIgnored(t *testing.T) {
	t.Parallel()
	i := begin(t, load(t, Options{}), "late", 1)
	defer i.Release()
	out := turn(t, i, In{Time: began})
	if len(out.Calls) != 1 || string(out.Calls[0].Body) != "early" || out.Ended == nil {
		t.Errorf("got %+v", out)
	}
}

func TestGuestsRunSideBySide(t *testing.T) {
	t.Parallel()
	m := load(t, Options{})
	var wg sync.WaitGroup
	for k := range 64 {
		wg.Go(func() {
			i, err := m.Start(t.Context(), Start{Input: []byte(`"chain"`), Seed: bytes.Repeat([]byte{byte(k)}, 32), Time: began})
			if err != nil {
				t.Error(err)
				return
			}
			defer i.Release()
			in := In{Time: began}
			for n := range 50 {
				out, err := i.Turn(t.Context(), in)
				if err != nil || len(out.Calls) != 1 || string(out.Calls[0].Body) != fmt.Sprint(n) {
					t.Errorf("turn %d: %+v %v", n, out, err)
					return
				}
				in.Answers = []flawless.Answer{reply(out.Calls[0])}
			}
		})
	}
	wg.Wait()
}

func BenchmarkLoadWarm(b *testing.B) {
	load(b, Options{})
	bin, _ := build()
	for b.Loop() {
		r, err := NewRuntime(b.Context(), Options{CacheDir: compiled()})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := r.Load(b.Context(), bin, nil); err != nil {
			b.Fatal(err)
		}
		_ = r.Close(b.Context())
	}
}

func BenchmarkEmptyRun(b *testing.B) {
	m := load(b, Options{})
	b.ReportAllocs()
	for b.Loop() {
		i := begin(b, m, "empty", 1)
		turn(b, i, In{Time: began})
		i.Release()
	}
}

func BenchmarkTurn(b *testing.B) {
	m := load(b, Options{})
	i := begin(b, m, "chain", 1)
	defer i.Release()
	out := turn(b, i, In{Time: began})
	b.ReportAllocs()
	for b.Loop() {
		out = turn(b, i, In{Time: began, Answers: []flawless.Answer{reply(out.Calls[0])}})
	}
}
