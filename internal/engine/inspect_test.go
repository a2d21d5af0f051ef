package engine

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/replay"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

// inspectFrom inspects a run with an inspector of the test.
func inspectFrom(t testing.TB, e *Engine, x *replay.Inspector, id, logOf string, turn, against int) (flawless.Inspection, error) {
	t.Helper()
	head, err := e.store.Head(t.Context(), logOf)
	if err != nil {
		t.Fatal(err)
	}
	m, done, err := e.library.Borrow(t.Context(), head.Run.Digest, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	return x.Inspect(t.Context(), m, id, func(from uint64) iter.Seq2[flawless.Record, error] { return e.store.Log(t.Context(), logOf, from) }, turn, against)
}

// TestInspectionsDoNotDependOnEarlierOnes looks at the turns of runs in random order, with frozen guests and from the beginning.
func TestInspectionsDoNotDependOnEarlierOnes(t *testing.T) {
	t.Parallel()
	out := newOutside(t)
	e := open(t, mem.New(), Options{})
	mustStart(t, e, "chain", map[string]any{"url": out.URL, "n": 8}, "chain")
	mustStart(t, e, "everything", map[string]any{"url": out.URL, "dead": deadURL, "n": 7}, "all")
	mustStart(t, e, "trip", map[string]any{"URL": out.URL, "Fail": "car"}, "saga")
	mustStart(t, e, "trip", map[string]any{"URL": out.URL, "Crash": "car"}, "crash") // with open steps, and tells its id
	for _, id := range []string{"chain", "all", "saga", "crash"} {
		mustEnd(t, e, id)
	}
	mustFork(t, e, "crash", Fork{Turn: 1, ID: "fork"})
	mustEnd(t, e, "fork")
	var all sync.WaitGroup
	defer all.Wait()
	look := func(id string, seed uint64) {
		run, err := e.Run(t.Context(), id)
		if err != nil || run.Turns < 3 {
			t.Errorf("run %s has %d turns, %v", id, run.Turns, err)
			return
		}
		random := rand.New(rand.NewPCG(1, seed))
		for range 20 {
			turn, against := random.IntN(run.Turns+2), max(0, random.IntN(2*run.Turns+2)-run.Turns)
			got, err := e.Inspect(t.Context(), id, turn, against)
			want, wrong := inspectFrom(t, e, replay.NewInspector(e.kinds, 0), id, id, turn, against)
			if wrong != nil {
				wrong = fmt.Errorf("inspecting run %s: %w", id, wrong)
			}
			if fmt.Sprint(err) != fmt.Sprint(wrong) {
				t.Errorf("turn %d of %s against %d: %v, want %v", turn, id, against, err, wrong)
			} else if d := cmp.Diff(want, got); d != "" && err == nil {
				t.Errorf("turn %d of %s against %d: %s", turn, id, against, d)
			}
		}
	}
	for _, id := range []string{"chain", "all", "saga", "crash", "fork"} {
		all.Go(func() { look(id, 1) })
		all.Go(func() { look(id, 2) })
	}
}

// TestInspectionNoticesAnotherLog: a guest that was frozen in a log is of no use for another one that begins alike.
func TestInspectionNoticesAnotherLog(t *testing.T) {
	t.Parallel()
	out := newOutside(t)
	e := open(t, mem.New(), Options{})
	mustStart(t, e, "chain", map[string]any{"url": out.URL, "n": 6}, "a")
	mustEnd(t, e, "a")
	mustFork(t, e, "a", Fork{Turn: 2, ID: "b"})
	mustEnd(t, e, "b")
	x := replay.NewInspector(e.kinds, 1<<30)
	for _, log := range []string{"a", "a", "b", "a"} {
		for _, turn := range []int{4, 5, 3} {
			got, err := inspectFrom(t, e, x, "x", log, turn, 0)
			want, wrong := inspectFrom(t, e, replay.NewInspector(e.kinds, 0), "x", log, turn, 0)
			if err != nil || wrong != nil {
				t.Fatal(err, wrong)
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("turn %d of %s: %s", turn, log, d)
			}
		}
	}
}

// TestInspectionShowsStacks: of each open call, the code that made it.
func TestInspectionShowsStacks(t *testing.T) {
	t.Parallel()
	out := newOutside(t)
	e := open(t, mem.New(), Options{})
	mustStart(t, e, "chain", map[string]any{"url": out.URL, "n": 2}, "chain")
	mustEnd(t, e, "chain")
	for range 2 { // from the beginning, and from a frozen guest
		i, err := e.Inspect(t.Context(), "chain", 2, 0)
		if err != nil {
			t.Fatal(err)
		}
		if len(i.Stacks) != 1 || len(i.Stacks[0].Stack) < 2 || !onStack(i.Stacks[0].Stack, "main.post") || !onStack(i.Stacks[0].Stack, "main.chain") {
			t.Fatalf("the stacks are %+v of the calls %+v", i.Stacks, i.Pending)
		}
		for _, c := range i.Pending {
			if c.N == i.Stacks[0].N && (c.Via == "" || c.Via == c.Innermost() || c.Site() != c.Via) {
				t.Errorf("call %d was made via %q at %q", c.N, c.Via, c.Innermost())
			}
		}
	}
}

// BenchmarkInspect steps through a long run: INSPECT_TURNS has its length.
func BenchmarkInspect(b *testing.B) {
	n, _ := strconv.Atoi(os.Getenv("INSPECT_TURNS"))
	if n = max(n, 200); testing.Short() {
		b.Skip()
	}
	e := open(b, mem.New(), Options{Kinds: echoing(nil)})
	mustStart(b, e, "chain", map[string]any{"url": "http://pay.example", "n": n}, "run")
	if _, err := e.Wait(b.Context(), "run"); err != nil {
		b.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for _, row := range []struct {
		name string
		kept int // bytes
		next func(turn int) int
	}{
		{"from the beginning", 0, func(int) int { return 1 + random.IntN(n) }},
		{"with frozen guests", 64 << 20, func(int) int { return 1 + random.IntN(n) }},
		{"back and forth", 64 << 20, func(turn int) int { return max(1, turn-1+2*random.IntN(2)) }},
	} {
		b.Run(row.name, func(b *testing.B) {
			x, turn := replay.NewInspector(e.kinds, row.kept), n-n/8
			look := func() time.Duration {
				began := time.Now()
				if _, err := inspectFrom(b, e, x, "run", "run", turn, 0); err != nil {
					b.Fatal(err)
				}
				return time.Since(began)
			}
			first, longest := look(), time.Duration(0)
			for b.Loop() {
				turn = min(row.next(turn), n)
				longest = max(longest, look())
			}
			b.ReportMetric(float64(first.Microseconds()), "µs/first")
			b.ReportMetric(float64(longest.Microseconds()), "µs/longest")
		})
	}
}
