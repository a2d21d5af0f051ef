package engine

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

// op is what a run of the workflow want does.
type op = map[string]any

func takes(name string, in ...op) op { return op{"State": name, "In": in} }

func awaits(run string) op { return op{"Await": run} }

func spawns(in ...op) op { return op{"Spawn": in} }

func sleeps(ms int) op { return op{"Sleep": ms} }

func receives() op { return op{"Receive": "go"} }

func within(ms int, in ...op) op { return op{"Within": ms, "In": in} }

func beside(all ...[]op) op { return op{"Beside": all} }

func ops(all ...op) []op { return all }

// failures returns the messages of the runs that have failed, and whose they are. All must have ended.
func failures(t *testing.T, e *Engine) map[string]string {
	t.Helper()
	runs, _, err := e.Runs(t.Context(), flawless.Filter{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, r := range runs {
		switch {
		case !r.Status.Ended():
			t.Errorf("run %s is %s and waits forever", r.ID, r.Status)
		case r.Failure != nil:
			out[r.ID] = r.Failure.Message
		}
	}
	return out
}

// deadlocked are runs of which one is told that they would wait for each other forever.
var deadlocked = []struct {
	name string
	runs map[string][]op
	told string // the run that closes the circle
	text string // of its error
}{
	{"two states", map[string][]op{
		"a": ops(takes("x", sleeps(10), takes("y"))),
		"b": ops(takes("y", sleeps(20), takes("x"))),
	}, "b", `run b waits for state "x", which run a holds; run a waits for state "y", which run b holds`},
	{"three runs", map[string][]op{
		"a": ops(takes("x", sleeps(10), takes("y"))),
		"b": ops(takes("y", sleeps(20), takes("z"))),
		"c": ops(takes("z", sleeps(30), takes("x"))),
	}, "c", `run c waits for state "x", which run a holds; run a waits for state "y", which run b holds; run b waits for state "z", which run c holds`},
	{"a child that wants what its parent holds", map[string][]op{
		"a": ops(takes("x", spawns(takes("x")))),
	}, "a.3", `run a.3 waits for state "x", which run a holds; run a waits for the end of run a.3`},
	{"a grandchild", map[string][]op{
		"a": ops(takes("x", spawns(spawns(takes("x"))))),
	}, "a.3.2", `run a.3.2 waits for state "x", which run a holds; run a waits for the end of run a.3; run a.3 waits for the end of run a.3.2`},
	{"two that await each other", map[string][]op{
		"a": ops(sleeps(10), awaits("b")),
		"b": ops(sleeps(20), awaits("a")),
	}, "b", `run b waits for the end of run a; run a waits for the end of run b`},
	{"one that awaits itself", map[string][]op{"a": ops(awaits("a"))}, "a", `run a waits for its own end`},
	{"a child that awaits its parent", map[string][]op{"a": ops(spawns(awaits("a")))}, "a.2",
		`run a.2 waits for the end of run a; run a waits for the end of run a.2`},
	{"a state, a child and an await", map[string][]op{
		"a": ops(takes("x", sleeps(10), awaits("b"))),
		"b": ops(sleeps(20), spawns(takes("x"))),
	}, "b.2", `run b.2 waits for state "x", which run a holds; run a waits for the end of run b; run b waits for the end of run b.2`},
	{"one that stands in the queue behind another", map[string][]op{
		"a": ops(takes("x", sleeps(30), awaits("c"))),
		"b": ops(sleeps(10), takes("x")),
		"c": ops(sleeps(20), takes("x")),
	}, "a", `run a waits for the end of run c; run c waits for state "x", which run a holds`},
	{"the other way to go on ends later", map[string][]op{
		"a": ops(takes("x", sleeps(5), beside(ops(takes("y")), ops(sleeps(50))))),
		"b": ops(takes("y", sleeps(10), takes("x"))),
	}, "b", `run b waits for state "x", which run a holds; run a waits for state "y", which run b holds`},
	{"two ways of which neither goes on", map[string][]op{
		"a": ops(takes("x", sleeps(10), beside(ops(takes("y")), ops(awaits("c"))))),
		"b": ops(takes("y", sleeps(20), takes("x"))),
		"c": ops(sleeps(30), takes("x")),
	}, "c", `run c waits for state "x", which run a holds; run a waits for the end of run c`},
}

func TestDeadlocksAreReported(t *testing.T) {
	t.Parallel()
	for _, row := range deadlocked {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			inVirtualTime(t, func(t *testing.T) {
				e := open(t, mem.New(), Options{})
				defer e.Kill()
				for _, id := range slices.Sorted(maps.Keys(row.runs)) {
					mustStart(t, e, "want", row.runs[id], id)
				}
				time.Sleep(time.Minute)
				synctest.Wait()
				told := failures(t, e)
				if text := told[row.told]; !strings.Contains(text, ": this would never end: "+row.text+" (deadlock)") {
					t.Errorf("run %s gets %q, want %q", row.told, text, row.text)
				}
				for id, text := range told { // a parent hears of its child's
					if id != row.told && !strings.Contains(text, "run "+row.told) {
						t.Errorf("run %s gets %q", id, text)
					}
				}
				if n := e.graph.Size(); n != 0 {
					t.Errorf("%d things are left in the graph: %+v", n, &e.graph)
				}
			})
		})
	}
}

// TestOtherWaitsAreNoDeadlock: a run can continue by itself or because of the outside.
func TestOtherWaitsAreNoDeadlock(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name string
		runs map[string][]op
		do   func(t *testing.T, e *Engine) // when all is quiet
		want map[string]string             // failures
	}{
		{"who holds a state sleeps", map[string][]op{
			"a": ops(takes("x", sleeps(5000))), "b": ops(sleeps(10), takes("x")), "c": ops(sleeps(20), awaits("b"))}, nil, nil},
		{"a child takes another state", map[string][]op{"a": ops(takes("x", spawns(takes("y"))))}, nil, nil},
		{"a wait that is given up in time", map[string][]op{
			"a": ops(takes("x", sleeps(10), within(500, takes("y")))),
			"b": ops(takes("y", sleeps(20), takes("x")))}, nil, map[string]string{"a": "context deadline exceeded"}},
		{"one way is closed, the other is not", map[string][]op{
			"a": ops(takes("x", sleeps(5), beside(ops(awaits("b")), ops(sleeps(100), within(1, sleeps(1000)))))),
			"b": ops(sleeps(10), takes("x"))}, nil, map[string]string{"a": "context deadline exceeded"}},
		{"a message", map[string][]op{
			"a": ops(takes("x", receives())), "b": ops(sleeps(10), takes("x"))},
			func(t *testing.T, e *Engine) { mustSend(t, e, "a", "go", "1") }, nil},
		{"a message beside", map[string][]op{
			"a": ops(takes("x", sleeps(5), beside(ops(awaits("b")), ops(receives(), within(1, sleeps(1000)))))), "b": ops(sleeps(10), takes("x"))},
			func(t *testing.T, e *Engine) { mustSend(t, e, "a", "go", "1") }, map[string]string{"a": "context deadline exceeded"}},
		{"a paused run that others wait for", map[string][]op{
			"a": ops(takes("x", sleeps(100))), "b": ops(sleeps(10), takes("x"))},
			func(t *testing.T, e *Engine) {
				if _, err := e.Pause(t.Context(), "a", flawless.Pause{Resume: true}); err != nil {
					t.Fatal(err)
				}
			}, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			inVirtualTime(t, func(t *testing.T) {
				e := open(t, mem.New(), Options{})
				defer e.Kill()
				for _, id := range slices.Sorted(maps.Keys(row.runs)) {
					mustStart(t, e, "want", row.runs[id], id)
				}
				if strings.Contains(row.name, "paused") {
					if _, err := e.Pause(t.Context(), "a", flawless.Pause{}); err != nil {
						t.Fatal(err)
					}
				}
				time.Sleep(time.Minute)
				if synctest.Wait(); row.do != nil {
					row.do(t, e)
				}
				time.Sleep(time.Minute)
				synctest.Wait()
				told := failures(t, e)
				for id, text := range told {
					if want := row.want[id]; want == "" || !strings.Contains(text, want) || strings.Contains(text, "deadlock") {
						t.Errorf("run %s gets %q, want %q", id, text, want)
					}
				}
				if len(told) != len(row.want) {
					t.Errorf("%d runs have failed, want %d", len(told), len(row.want))
				}
			})
		})
	}
}

// TestPausedRunIsPartOfNoDeadlock: a run of the cycle is paused, and then continues.
func TestPausedRunIsPartOfNoDeadlock(t *testing.T) {
	t.Parallel()
	inVirtualTime(t, func(t *testing.T) {
		e := open(t, mem.New(), Options{})
		defer e.Kill()
		mustStart(t, e, "want", ops(takes("x", sleeps(10), takes("y"))), "a")
		mustStart(t, e, "want", ops(takes("y", sleeps(20), takes("x"))), "b")
		time.Sleep(15 * time.Millisecond)
		if _, err := e.Pause(t.Context(), "a", flawless.Pause{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if r, err := e.Run(t.Context(), "b"); err != nil || r.Status.Ended() {
			t.Fatalf("while the other one is paused it is %+v, %v", r, err)
		}
		if _, err := e.Pause(t.Context(), "a", flawless.Pause{Resume: true}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if told := failures(t, e); len(told) != 1 || !strings.Contains(told["b"], "(deadlock)") {
			t.Errorf("they get %q", told)
		}
	})
}

// TestDeadlockThroughQueuePositions: a run waits for one that may not begin before the first has ended.
func TestDeadlockThroughQueuePositions(t *testing.T) {
	t.Parallel()
	inVirtualTime(t, func(t *testing.T) {
		e := open(t, mem.New(), Options{})
		defer e.Kill()
		if _, err := e.ChangeSettings(t.Context(), "guest", func(s *flawless.Settings) { s.Concurrency = 1 }); err != nil {
			t.Fatal(err)
		}
		start := func(id string, p flawless.QueueOptions, in ...op) {
			t.Helper()
			if _, _, err := e.Start(t.Context(), Start{Module: "guest", Workflow: "want", Input: input(t, in), ID: id, Queue: p}); err != nil {
				t.Fatal(err)
			}
		}
		start("a", flawless.QueueOptions{}, sleeps(10), awaits("b"))
		start("b", flawless.QueueOptions{}, sleeps(1))
		time.Sleep(time.Minute)
		synctest.Wait()
		want := "run a waits for the end of run b; run b waits to be admitted by module guest, whose limit run a uses up (deadlock)"
		if told := failures(t, e); len(told) != 1 || !strings.Contains(told["a"], want) {
			t.Errorf("they get %q", told)
		}
		if _, err := e.ChangeSettings(t.Context(), "guest", func(s *flawless.Settings) { s.Concurrency = 0 }); err != nil {
			t.Fatal(err)
		}
		key := flawless.QueueOptions{Key: "k", Limit: 1}
		start("c", key, sleeps(10), awaits("d"))
		start("d", key, sleeps(1))
		time.Sleep(time.Minute)
		synctest.Wait()
		want = "run c waits for the end of run d; run d waits to be admitted by key k, whose limit run c uses up (deadlock)"
		if told := failures(t, e); len(told) != 2 || !strings.Contains(told["c"], want) {
			t.Errorf("they get %q", told)
		}
	})
}

// TestDeadlockIsFoundAfterRestart: the server dies at every write while a cycle closes.
func TestDeadlockIsFoundAfterRestart(t *testing.T) {
	t.Parallel()
	for died, n := true, 1; died || n < 12; n++ {
		for _, after := range []bool{false, true} {
			name, d := fmt.Sprintf("write %d, after it %v", n, after), &memory{mem.New()}
			begin := Start{Module: "guest", Workflow: "want", ID: "a", Input: input(t, ops(takes("x", spawns(takes("y", spawns(takes("x")))))))}
			died = runUntilDeath(t, name, d, newMortal(d.open(t), n, after), Options{}, begin)
			e, r := settle(t, name, d.open(t), Options{}, begin, nil)
			const want = `run a.3.3 waits for state "x", which run a holds; run a waits for the end of run a.3; run a.3 waits for the end of run a.3.3 (deadlock)`
			if r.Status != flawless.Failed || !strings.Contains(r.Failure.Message, want) {
				t.Errorf("%s: it is %+v, %+v", name, r, r.Failure)
			}
			for _, id := range []string{"a", "a.3", "a.3.3"} {
				mustEnd(t, e, id)
				mustRest(t, e, id)
			}
			e.Kill()
		}
	}
}

// TestRandomSystemsEnd runs small random systems of runs and states. A model of the same goes through all
// orders in which things can happen: where none of them ends in a deadlock no call reports one, where all
// do some call does, and in any case no run waits forever.
func TestRandomSystemsEnd(t *testing.T) {
	t.Parallel()
	inVirtualTime(t, func(t *testing.T) {
		rnd := rand.New(rand.NewPCG(3, 4))
		counts := map[bool]int{}
		for n := range 150 {
			const runs, states = 3, 4
			m := make(model, runs)
			scripts := make([][]op, runs)
			for k := range runs {
				var held []int
				scripts[k] = append(ops(sleeps(1)), m[k].script(rnd, fmt.Sprintf("s%d-", n), &held, states, runs, 1+rnd.IntN(3))...)
			}
			may, must := m.explore()
			e := open(t, mem.New(), Options{})
			for k := range runs {
				mustStart(t, e, "want", scripts[k], fmt.Sprintf("s%d-%d", n, k))
			}
			time.Sleep(time.Hour)
			synctest.Wait()
			told := failures(t, e)
			if len(told) > 0 && !may {
				t.Errorf("nobody can come to wait forever in %v, and some get %q", scripts, told)
			}
			if len(told) == 0 && must {
				t.Errorf("somebody always waits forever in %v", scripts)
			}
			for id, text := range told {
				if !strings.Contains(text, "deadlock") {
					t.Errorf("run %s gets %q", id, text)
				}
			}
			if size := e.graph.Size(); size != 0 {
				t.Errorf("%d things are left in the graph", size)
			}
			counts[len(told) > 0]++
			e.Kill()
		}
		if counts[true] < 10 || counts[false] < 10 {
			t.Errorf("with and without a deadlock there were %v: the test proves little", counts)
		}
	})
}

// model is a system of runs: what each does, step by step.
type model []steps

type steps []step

// step takes or releases a state, or waits for the end of a run.
type step struct {
	take, release, await int // counted from 1
}

// script adds random steps, and returns them as the workflow want has them. A state that is held is not
// taken again.
func (s *steps) script(rnd *rand.Rand, prefix string, held *[]int, states, runs, n int) (out []op) {
	for range n {
		switch free := 1 + rnd.IntN(states); {
		case rnd.IntN(5) == 0:
			to := rnd.IntN(runs)
			*s = append(*s, step{await: to + 1})
			out = append(out, awaits(fmt.Sprint(prefix, to)))
		case slices.Contains(*held, free):
			out = append(out, sleeps(1+rnd.IntN(5)))
		default:
			*s = append(*s, step{take: free})
			*held = append(*held, free)
			in := append(ops(sleeps(1+rnd.IntN(5))), s.script(rnd, prefix, held, states, runs, rnd.IntN(3))...)
			*held = (*held)[:len(*held)-1]
			*s = append(*s, step{release: free})
			out = append(out, takes(fmt.Sprint("x", free), in...))
		}
	}
	return out
}

// explore goes through all orders, and reports whether one ends with a run that waits forever, and whether
// all do.
func (m model) explore() (may, must bool) {
	must = true
	seen := map[string]bool{}
	var visit func(at []int)
	visit = func(at []int) {
		key := fmt.Sprint(at)
		if seen[key] {
			return
		}
		seen[key] = true
		open, moved := false, false
		for k, s := range m {
			open = open || at[k] < len(s)
			if at[k] == len(s) {
				continue
			}
			x := s[at[k]]
			if x.take != 0 && m.held(at, x.take) || x.await != 0 && (x.await-1 == k || at[x.await-1] < len(m[x.await-1])) {
				continue
			}
			moved = true
			next := slices.Clone(at)
			next[k]++
			visit(next)
		}
		switch {
		case !open:
			must = false
		case !moved:
			may = true
		}
	}
	visit(make([]int, len(m)))
	return may, must
}

// held reports whether a state has a holder.
func (m model) held(at []int, name int) bool {
	for k, s := range m {
		n := 0
		for _, x := range s[:at[k]] {
			if x.take == name {
				n++
			}
			if x.release == name {
				n--
			}
		}
		if n > 0 {
			return true
		}
	}
	return false
}
