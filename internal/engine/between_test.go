package engine

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/borrow"
	"github.com/flawless-engine/flawless/internal/core"
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

// crew is several engines over one database that reach each other. Each of its shards belongs to one of them.
type crew struct {
	t    *testing.T
	kv   store.KV
	mesh *mesh
	made int

	mu      sync.Mutex
	engines []*Engine
	owner   map[store.Shard]int
}

// newCrew opens n engines. place says who owns runs, by id, and states, by "state " and their name; the other shards are dealt
// out, or belong to the owner of "*".
func newCrew(t *testing.T, kv store.KV, n int, place map[string]int) *crew {
	t.Helper()
	st, err := store.Open(t.Context(), kv)
	if err != nil {
		t.Fatal(err)
	}
	c := &crew{t: t, kv: kv, mesh: newMesh(st), owner: map[store.Shard]int{}}
	for _, sh := range store.AllShards() {
		c.owner[sh] = int(sh) % n
		if at, one := place["*"]; one {
			c.owner[sh] = at
		}
	}
	for what, at := range place {
		if what != "*" {
			c.owner[shardOf(what)] = at
		}
	}
	c.owner[store.ShardOfCaps] = 0
	for at := range n {
		c.engines = append(c.engines, c.open(at))
	}
	t.Cleanup(c.kill)
	return c
}

// shardOf returns the shard of a run, or of a state if what begins with "state ".
func shardOf(what string) store.Shard {
	if name, ok := strings.CutPrefix(what, "state "); ok {
		return stateShard(name)
	}
	return store.ShardOf(what)
}

// open opens an engine that takes over the shards of one place.
func (c *crew) open(at int) *Engine {
	c.t.Helper()
	c.made++
	var shards []store.Shard
	for sh, owner := range c.owner {
		if owner == at {
			shards = append(shards, sh)
		}
	}
	e := open(c.t, c.kv, Options{Claim: store.ByForce(shards...), Owner: fmt.Sprintf("engine %d", c.made), Peers: c.mesh})
	c.mesh.add(e)
	return e
}

func (c *crew) kill() {
	for _, e := range c.all() {
		e.Kill()
	}
	c.mesh.late.Wait()
}

// disturb lets requests between engines be lost, stay without an answer, or arrive twice.
func (c *crew) disturb(rnd *rand.Rand) {
	c.mesh.mu.Lock()
	defer c.mesh.mu.Unlock()
	c.mesh.fate = func() fate { return fate(rnd.IntN(4)) }
}

func (c *crew) all() []*Engine {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.engines)
}

// of returns the engine that owns a run or a state.
func (c *crew) of(what string) *Engine {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.engines[c.owner[shardOf(what)]]
}

// move hands what belongs to a shard over to another engine.
func (c *crew) move(sh store.Shard, to int) {
	c.t.Helper()
	c.mu.Lock()
	from := c.owner[sh]
	a, b := c.engines[from], c.engines[to]
	c.mu.Unlock()
	if from == to {
		return
	}
	if err := a.Release(c.t.Context(), sh); err != nil {
		c.t.Fatal(err)
	}
	if err := b.Gain(c.t.Context(), store.ByForce(sh)); err != nil {
		c.t.Fatal(err)
	}
	c.mu.Lock()
	c.owner[sh] = to
	c.mu.Unlock()
}

// crash kills the engine of a place, and opens another one there.
func (c *crew) crash(at int) {
	c.t.Helper()
	c.all()[at].Kill()
	c.mesh.remove(c.all()[at])
	next := c.open(at)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.engines[at] = next
}

// name returns a new id for a run of an engine.
func (c *crew) name(at int) string {
	for {
		c.made++
		if id := fmt.Sprint("run-", c.made); c.owner[store.ShardOf(id)] == at {
			return id
		}
	}
}

// start starts a run at the engine that owns it.
func (c *crew) start(workflow string, in any, id string) {
	c.t.Helper()
	mustStart(c.t, c.of(id), workflow, in, id)
}

// ends waits until a run has completed with an output, whoever owns it.
func (c *crew) ends(id, output string) {
	c.t.Helper()
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		switch r, err := c.of(id).Run(c.t.Context(), id); {
		case flawless.CodeOf(err) == flawless.Elsewhere, flawless.CodeOf(err) == flawless.Stopping:
		case err != nil:
			c.t.Fatal(err)
		case r.Status == flawless.Completed && string(r.Output) == output:
			return
		case r.Status.Ended() || time.Since(began) > 10*time.Minute:
			c.t.Fatalf("run %s is %s with %s, %+v; want %s", id, r.Status, r.Output, r.Failure, output)
		}
	}
}

// empty checks that nothing of runs is left in any engine.
func (c *crew) empty() {
	c.t.Helper()
	for _, e := range c.all() {
		wantNothingLeft(c.t, e)
		if n := e.errands.Count(); n != 0 {
			c.t.Errorf("%d errands are left", n)
		}
	}
}

// apart runs a test with two things at one engine, and at two, in virtual time.
func apart(t *testing.T, n int, a, b string, f func(t *testing.T, c *crew)) {
	t.Helper()
	t.Parallel()
	for at := range n {
		name := "together"
		if at > 0 {
			name = "apart"
		}
		if at > 1 {
			break
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inVirtualTime(t, func(t *testing.T) {
				c := newCrew(t, mem.New(), n, map[string]int{a: 0, b: at})
				defer c.kill()
				f(t, c)
			})
		})
	}
}

// hereAndElsewhere runs a test with an engine that owns a state, and with one that owns everything else.
func hereAndElsewhere(t *testing.T, state string, f func(t *testing.T, e *Engine)) {
	t.Helper()
	for at, where := range []string{"here", "elsewhere"} {
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			inVirtualTime(t, func(t *testing.T) {
				c := newCrew(t, mem.New(), 2, map[string]int{"*": 0, "state " + state: at})
				defer c.kill()
				f(t, c.engines[0])
			})
		})
	}
}

// numbers is the output of a run that has received the numbers below n in order.
func numbers(n int) string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprint(i))
	}
	return "[" + strings.Join(all, ",") + "]"
}

// TestMessagesReachRunsOfOtherEngines: each is received once and in order, though sender and receiver move meanwhile.
func TestMessagesReachRunsOfOtherEngines(t *testing.T) {
	const n = 40
	apart(t, 2, "sender", "receiver", func(t *testing.T, c *crew) {
		c.start("mailbox", n, "receiver")
		c.start("flood", map[string]any{"To": "receiver", "N": n}, "sender")
		c.ends("sender", fmt.Sprint(n))
		c.ends("receiver", numbers(n))
		c.empty()
	})
}

// TestRefusalsOfOtherEnginesReachTheCode: there is no such run, it has ended, or does not accept the message.
func TestRefusalsOfOtherEnginesReachTheCode(t *testing.T) {
	apart(t, 2, "sender", "receiver", func(t *testing.T, c *crew) {
		fails := func(workflow string, in any, why string) {
			t.Helper()
			id := c.name(0)
			c.start(workflow, in, id)
			if r := mustEnd(t, c.of(id), id); r.Failure == nil || !strings.Contains(r.Failure.Message, why) {
				t.Errorf("it is %s %+v, want %s", r.Status, r.Failure, why)
			}
		}
		to := map[string]any{"To": "receiver", "N": 1}
		fails("flood", to, "(not_found)")
		c.start("wary", "receiver", "sender")
		c.ends("sender", `"not_found"`)
		c.start("want", ops(), "receiver")
		c.ends("receiver", `"done"`)
		fails("flood", to, "(conflict)")
		waiting := c.name(0)
		c.start("want", ops(awaits("receiver")), waiting)
		c.ends(waiting, `"done"`)
		c.empty()
	})
}

// TestMessagesSurviveMovesAndCrashes: sender and receiver move to other engines, and their engines die, again and again.
func TestMessagesSurviveMovesAndCrashes(t *testing.T) {
	t.Parallel()
	inVirtualTime(t, func(t *testing.T) {
		const n, pairs = 30, 8
		c := newCrew(t, mem.New(), 3, nil)
		defer c.kill()
		for k := range pairs {
			to := fmt.Sprint("receiver-", k)
			c.start("mailbox", n, to)
			c.start("flood", map[string]any{"To": to, "N": n}, fmt.Sprint("sender-", k))
		}
		rnd := rand.New(rand.NewPCG(1, 2))
		c.disturb(rand.New(rand.NewPCG(8, 9)))
		for range 12 {
			for range 6 {
				c.move(store.ShardOf(fmt.Sprint([]string{"sender-", "receiver-"}[rnd.IntN(2)], rnd.IntN(pairs))), rnd.IntN(3))
			}
			c.crash(rnd.IntN(3))
			time.Sleep(time.Duration(rnd.IntN(2)) * 100 * time.Millisecond)
		}
		for k := range pairs {
			c.ends(fmt.Sprint("sender-", k), fmt.Sprint(n))
			c.ends(fmt.Sprint("receiver-", k), numbers(n))
		}
		c.empty()
	})
}

// TestEndsAreToldToOtherEngines: a run waits for the end of another one, which comes after the engine of either has changed.
func TestEndsAreToldToOtherEngines(t *testing.T) {
	for what, change := range map[string]func(c *crew){
		"nothing changes":            func(*crew) {},
		"the target moves":           func(c *crew) { c.move(store.ShardOf("target"), 2) },
		"the target comes":           func(c *crew) { c.move(store.ShardOf("target"), 0) },
		"the one who waits moves":    func(c *crew) { c.move(store.ShardOf("waiting"), 2) },
		"the target's engine dies":   func(c *crew) { c.crash(c.owner[store.ShardOf("target")]) },
		"the engine that waits dies": func(c *crew) { c.crash(0) },
	} {
		t.Run(what, func(t *testing.T) {
			apart(t, 3, "waiting", "target", func(t *testing.T, c *crew) {
				c.start("want", ops(receives()), "target")
				c.start("want", ops(awaits("target")), "waiting")
				time.Sleep(12 * time.Second)
				change(c)
				time.Sleep(12 * time.Second)
				mustSend(t, c.of("target"), "target", "go", "1")
				began := time.Now()
				c.ends("target", `"done"`)
				c.ends("waiting", `"done"`)
				if took := time.Since(began); took > time.Second {
					t.Errorf("it took %v", took)
				}
				c.empty()
			})
		})
	}
}

// TestStateOfAnotherEngineHasOneHolder: runs of three engines change a state, while it and they move, and engines die.
func TestStateOfAnotherEngineHasOneHolder(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name           string
		moves, crashes int
		disturbed      bool
	}{{"quiet", 0, 0, false}, {"disturbed", 0, 0, true}, {"moves", 30, 0, false}, {"crashes", 0, 8, false}, {"everything", 20, 6, true}} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			inVirtualTime(t, func(t *testing.T) {
				const runs = 60
				c := newCrew(t, mem.New(), 3, nil)
				defer c.kill()
				if row.disturbed {
					c.disturb(rand.New(rand.NewPCG(10, uint64(row.moves))))
				}
				for k := range runs {
					c.start("want", ops(sleeps(1+k*10), takes("n", sleeps(5), beside(ops(sleeps(1)), ops(sleeps(20))))), fmt.Sprint("run-", k))
				}
				rnd := rand.New(rand.NewPCG(5, uint64(row.moves)))
				for k := range max(row.moves, row.crashes) {
					time.Sleep(50 * time.Millisecond)
					if k < row.moves {
						c.move(stateShard("n"), rnd.IntN(3))
						c.move(store.ShardOf(fmt.Sprint("run-", rnd.IntN(runs))), rnd.IntN(3))
					}
					if k < row.crashes {
						c.crash(rnd.IntN(3))
					}
				}
				for k := range runs {
					c.ends(fmt.Sprint("run-", k), `"done"`)
				}
				c.mesh.mu.Lock()
				c.mesh.fate = nil
				c.mesh.mu.Unlock()
				time.Sleep(time.Minute)
				for _, e := range c.all() {
					if s, err := e.States().State(t.Context(), "n"); err != nil || string(s.Value) != fmt.Sprint(runs) || s.Holder != nil || s.Queue != nil {
						t.Errorf("the state is %+v, %v, want %d", s, err, runs)
					}
				}
				c.empty()
			})
		})
	}
}

// TestStateOfAnotherEngineIsReleased: the holder ends in one way or another, the engines of either side having changed.
func TestStateOfAnotherEngineIsReleased(t *testing.T) {
	t.Parallel()
	ends := map[string]func(ctx context.Context, e *Engine) error{
		"it returns": func(ctx context.Context, e *Engine) error {
			_, err := e.Send(ctx, "first", flawless.Message{Type: "go", Body: flawless.Bytes(`"a"`)})
			return err
		},
		"it is terminated": func(ctx context.Context, e *Engine) error {
			return second(e.Terminate(ctx, "first", flawless.Cancel{}))
		},
		"it is cancelled": func(ctx context.Context, e *Engine) error { return second(e.Cancel(ctx, "first", flawless.Cancel{})) },
	}
	changes := map[string]func(c *crew){
		"nothing":                 func(*crew) {},
		"the state moves":         func(c *crew) { c.move(stateShard("kept"), 2) },
		"the state comes":         func(c *crew) { c.move(stateShard("kept"), 0) },
		"the holder moves":        func(c *crew) { c.move(store.ShardOf("first"), 2) },
		"the state's engine dies": func(c *crew) { c.crash(1) },
		"the holder's dies":       func(c *crew) { c.crash(0) },
	}
	for how, end := range ends {
		for what, change := range changes {
			for _, second := range []int{0, 1, 2} {
				t.Run(fmt.Sprintf("%s, %s, second at %d", how, what, second), func(t *testing.T) {
					t.Parallel()
					inVirtualTime(t, func(t *testing.T) {
						c := newCrew(t, mem.New(), 3, map[string]int{"first": 0, "second": second, "state kept": 1})
						defer c.kill()
						c.start("keep", "", "first")
						holds(t, c.of("first"), "first")
						c.start("keep", "", "second")
						mustSend(t, c.of("second"), "second", "go", `"b"`)
						for _, e := range c.all() {
							queued(t, e, "second")
						}
						change(c)
						time.Sleep(3 * time.Second)
						queued(t, c.of("first"), "second")
						value := `"b"`
						if how == "it returns" {
							value = `"ab"`
						}
						if err := end(t.Context(), c.of("first")); err != nil {
							t.Fatal(err)
						}
						c.ends("second", `"kept"`)
						for _, e := range c.all() {
							if page, _, err := e.States().States(t.Context(), "", 10); err != nil || len(page) != 1 || string(page[0].Value) != value || page[0].Holder != nil {
								t.Errorf("the states are %+v, %v", page, err)
							}
						}
						time.Sleep(time.Minute)
						c.empty()
					})
				})
			}
		}
	}
}

// TestAbsentEngineHoldsNobodyUp: the engine of a run that waits for a state is away for long, and others get the state
// meanwhile. The run gets it when its engine is back.
func TestAbsentEngineHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	inVirtualTime(t, func(t *testing.T) {
		c := newCrew(t, mem.New(), 3, map[string]int{"first": 0, "state kept": 1, "last": 1, "absent": 2})
		defer c.kill()
		c.start("keep", "", "first")
		holds(t, c.of("first"), "first")
		c.start("keep", "", "absent")
		mustSend(t, c.of("absent"), "absent", "go", `"c"`)
		queued(t, c.of("first"), "absent")
		c.all()[2].Kill()
		c.mesh.remove(c.all()[2])
		time.Sleep(30 * time.Second)
		mustSend(t, c.of("first"), "first", "go", `"a"`)
		c.ends("first", `"kept"`)
		began := time.Now()
		c.start("keep", "", "last")
		mustSend(t, c.of("last"), "last", "go", `"b"`)
		c.ends("last", `"kept"`)
		if took := time.Since(began); took > time.Second {
			t.Errorf("it took %v", took)
		}
		c.crash(2)
		c.ends("absent", `"kept"`)
		if s, err := c.of("first").States().State(t.Context(), "kept"); err != nil || string(s.Value) != `"abc"` {
			t.Errorf("the state is %+v, %v", s, err)
		}
	})
}

// TestLateQuestionDoesNotReplaceItsRun: a run has come to the engine of a state and waits for it, when a question arrives that
// its former engine has asked.
func TestLateQuestionDoesNotReplaceItsRun(t *testing.T) {
	t.Parallel()
	inVirtualTime(t, func(t *testing.T) {
		c := newCrew(t, mem.New(), 2, map[string]int{"first": 0, "state kept": 0, "second": 1})
		defer c.kill()
		c.start("keep", "", "first")
		holds(t, c.of("first"), "first")
		c.start("keep", "", "second")
		mustSend(t, c.of("second"), "second", "go", `"b"`)
		queued(t, c.of("first"), "second")
		late := borrow.Visit{State: "kept", Run: "second", At: 1}
		log, err := c.of("second").Log(t.Context(), "second", 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, rec := range log {
			for _, x := range rec.Entries {
				for _, call := range turnOf(x).Calls {
					if call.Kind == effect.State {
						late.Call = call
					}
				}
			}
		}
		c.move(store.ShardOf("second"), 0)
		queued(t, c.of("first"), "second")
		if reply, err := c.of("first").states.Visit(t.Context(), late); err != nil || reply.Answer != nil {
			t.Errorf("the late question is answered with %+v, %v", reply, err)
		}
		time.Sleep(time.Minute)
		mustSend(t, c.of("first"), "first", "go", `"a"`)
		c.ends("first", `"kept"`)
		c.ends("second", `"kept"`)
	})
}

// turnOf returns the turn of an entry, which is empty if it has none.
func turnOf(x flawless.Entry) flawless.Turn {
	if x.Turn == nil {
		return flawless.Turn{}
	}
	return *x.Turn
}

// TestUnlockWhileNobodyAsks: a run stops waiting for a state at a moment when the question for it is not being asked, because
// its last answer was lost. Its lock is answered all the same.
func TestUnlockWhileNobodyAsks(t *testing.T) {
	t.Parallel()
	inVirtualTime(t, func(t *testing.T) {
		c := newCrew(t, mem.New(), 2, map[string]int{"first": 1, "state kept": 1, "impatient": 0})
		defer c.kill()
		c.start("keep", "", "first")
		holds(t, c.of("first"), "first")
		began := time.Now()
		c.mesh.mu.Lock()
		c.mesh.fate = func() fate {
			if time.Since(began) < 6*time.Second {
				return unanswered
			}
			return passes
		}
		c.mesh.mu.Unlock()
		c.start("want", ops(beside(ops(within(5020, takes("kept"))), ops(sleeps(3_600_000)))), "impatient")
		time.Sleep(time.Minute)
		open := 0
		err := c.of("impatient").peek(t.Context(), "impatient", func(s *core.State) { open = len(s.Errands(effect.State)) })
		if n := c.of("impatient").errands.Count(); err != nil || open != 0 || n != 0 {
			t.Errorf("%d calls have no answer, %d errands are left, %v", open, n, err)
		}
	})
}

// TestRunThatStopsWaitingNeverHolds: it gives up waiting for a state of another engine, which it must not be granted then,
// not even if its engine dies at once. Others get the state.
func TestRunThatStopsWaitingNeverHolds(t *testing.T) {
	for what, change := range map[string]func(c *crew){
		"nothing":                 func(*crew) {},
		"the state's engine dies": func(c *crew) { c.crash(c.owner[stateShard("kept")]) },
		"the waiter's dies":       func(c *crew) { c.crash(0) },
		"the state moves":         func(c *crew) { c.move(stateShard("kept"), 2) },
		"connections break":       func(c *crew) { c.disturb(rand.New(rand.NewPCG(1, 1))) },
	} {
		t.Run(what, func(t *testing.T) {
			apart(t, 3, "impatient", "state kept", func(t *testing.T, c *crew) {
				c.start("keep", "", "first")
				holds(t, c.of("first"), "first")
				c.start("want", ops(beside(ops(within(1000, takes("kept"))), ops(sleeps(3_600_000)))), "impatient")
				queued(t, c.of("first"), "impatient")
				time.Sleep(998 * time.Millisecond)
				change(c)
				time.Sleep(30 * time.Second)
				mustSend(t, c.of("first"), "first", "go", `"a"`)
				c.ends("first", `"kept"`)
				c.start("keep", "", "last")
				mustSend(t, c.of("last"), "last", "go", `"b"`)
				c.ends("last", `"kept"`)
				for _, e := range c.all() {
					if n := e.errands.Count(); n != 0 {
						t.Errorf("%d errands are left", n)
					}
				}
			})
		})
	}
}

// TestDeadlocksOverEngines: a deadlock is reported to the same call wherever the runs and states are.
func TestDeadlocksOverEngines(t *testing.T) {
	t.Parallel()
	for _, row := range deadlocked {
		for seed := range uint64(4) {
			t.Run(fmt.Sprintf("%s, %d", row.name, seed), func(t *testing.T) {
				t.Parallel()
				inVirtualTime(t, func(t *testing.T) {
					rnd := rand.New(rand.NewPCG(seed, 7))
					place := map[string]int{}
					for i, what := range []string{"a", "b", "c", "state x", "state y", "state z"} {
						place[what] = rnd.IntN(3)
						if seed == 0 {
							place[what] = i % 3
						}
					}
					c := newCrew(t, mem.New(), 3, place)
					defer c.kill()
					for id, in := range row.runs {
						c.start("want", in, id)
					}
					time.Sleep(time.Minute)
					synctest.Wait()
					told := failures(t, c.all()[0])
					if text := told[row.told]; !strings.Contains(text, ": this would never end: "+row.text+" (deadlock)") {
						t.Errorf("run %s gets %q, want %q", row.told, text, row.text)
					}
					for id, text := range told { // a parent hears of its child's
						if id != row.told && !strings.Contains(text, "run "+row.told) {
							t.Errorf("run %s gets %q", id, text)
						}
					}
					c.empty()
				})
			})
		}
	}
}

// TestCrashEverywhereBetweenEngines: one of two engines dies at one of its writes while runs of both send messages to each
// other, wait for each other and change a state. Everything happens once.
func TestCrashEverywhereBetweenEngines(t *testing.T) {
	t.Parallel()
	for dies, name := range []string{"the asking engine", "the asked one"} {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, after the write %v", name, after), func(t *testing.T) {
				t.Parallel()
				n, step := 1, 1
				if testing.Short() {
					step = 5
				}
				for died := true; died; n += step {
					inVirtualTime(t, func(t *testing.T) {
						kv := mem.New()
						died = crashBetween(t, kv, kv, dies, n, after, time.Minute)
					})
				}
				if n < 10 {
					t.Errorf("it died at %d writes only: the test proves nothing", n)
				}
			})
		}
	}
}

// crashBetween lets one of two engines die at a write, and reports whether there were so many. Engines use kv, and the one
// that dies uses other. What must hold at the end must still hold after the time settle.
func crashBetween(t *testing.T, kv, other store.KV, dies, left int, after bool, settle time.Duration) (died bool) {
	t.Helper()
	const n = 4
	c := newCrew(t, kv, 2, map[string]int{"sender": 0, "waiting": 0, "adds-0": 0, "hasty": 0, "receiver": 1, "target": 1, "adds-1": 1, "state n": 1})
	defer c.kill()
	dying := newMortal(other, 0, after)
	c.kv = dying
	c.crash(dies)
	c.kv = kv
	dying.left.Store(int64(left))
	all := func(do func() error) {
		t.Helper()
		for try := 0; ; try++ {
			err := do()
			if dying.isDead() && !died {
				died = true
				c.crash(dies)
			} else if err == nil {
				return
			}
			if time.Sleep(10 * time.Millisecond); try == 10_000 {
				t.Fatalf("write %d: %v", left, err)
			}
		}
	}
	begin := func(workflow string, in any, id string) {
		t.Helper()
		all(func() error {
			_, _, err := c.of(id).Start(t.Context(), Start{Module: "guest", Workflow: workflow, Input: input(t, in), ID: id})
			return err
		})
	}
	outputs := map[string]string{"receiver": numbers(n), "sender": fmt.Sprint(n), "target": `"done"`, "waiting": `"done"`, "adds-0": `"done"`, "hasty": `"left"`, "adds-1": `"done"`}
	begin("mailbox", n, "receiver")
	begin("want", ops(sleeps(30)), "target")
	begin("flood", map[string]any{"To": "receiver", "N": n}, "sender")
	begin("want", ops(awaits("target")), "waiting")
	begin("want", ops(takes("n", sleeps(10)), takes("n")), "adds-0")
	begin("want", ops(takes("n", sleeps(10)), takes("n")), "adds-1")
	begin("hasty", "n", "hasty")
	for id, output := range outputs {
		all(func() error {
			r, err := c.of(id).Run(t.Context(), id)
			if err == nil && r.Status.Ended() && string(r.Output) != output {
				t.Fatalf("write %d: run %s is %s with %s, %+v; want %s", left, id, r.Status, r.Output, r.Failure, output)
			}
			if err == nil && !r.Status.Ended() {
				err = fmt.Errorf("run %s is %s", id, r.Status)
			}
			return err
		})
	}
	time.Sleep(settle)
	for _, e := range c.all() {
		all(func() error {
			s, err := e.States().State(t.Context(), "n")
			if err == nil && (string(s.Value) != "5" || s.Holder != nil || s.Queue != nil) {
				err = fmt.Errorf("the state is %+v", s)
			}
			return err
		})
	}
	for id := range outputs {
		if err := c.of(id).verify(t.Context(), id); err != nil {
			t.Errorf("write %d: the replay of %s: %v", left, id, err)
		}
	}
	return died
}
