package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

// failedRun runs revised into its bug, and returns the engine with what the outside saw.
func failedRun(t *testing.T) (*Engine, func() []string) {
	t.Helper()
	var mu sync.Mutex
	var seen []string
	e := open(t, mem.New(), Options{Kinds: echoing(func(path string) { mu.Lock(); defer mu.Unlock(); seen = append(seen, path) })})
	asleep(t, e, "run", 0)
	r, err := e.Wait(context.Background(), "run")
	if err != nil || r.Status != flawless.Failed {
		t.Fatalf("it is %+v, %v", r, err)
	}
	return e, func() []string {
		mu.Lock()
		defer mu.Unlock()
		out := slices.Clone(seen)
		seen = nil
		slices.Sort(out)
		return out
	}
}

func TestForkContinuesWithFixedCode(t *testing.T) {
	fixed := edition(t, "fixed")
	inVirtualTime(t, func(t *testing.T) {
		e, seen := failedRun(t)
		defer e.Kill()
		if got := seen(); len(got) != 2 {
			t.Fatalf("the outside saw %v", got)
		}
		run, err := e.Run(context.Background(), "run")
		if err != nil {
			t.Fatal(err)
		}
		would, err := e.Offline(context.Background(), "run", Fork{Turn: run.Turns - 1, Module: fixed})
		if err != nil || len(would.Would) != 1 || !strings.Contains(string(would.Would[0].Head), "/last") || would.Ended != nil {
			t.Errorf("with the world closed: %+v, %v", would, err)
		}
		same, err := e.Offline(context.Background(), "run", Fork{Turn: 0})
		if err != nil || same.Ended == nil || same.Ended.Failure == nil || len(same.Would) != 0 {
			t.Errorf("as it was, with the world closed: %+v, %v", same, err)
		}
		if got := seen(); len(got) != 0 {
			t.Errorf("with the world closed, the outside saw %v", got)
		}
		for _, turn := range []int{run.Turns - 1, 1, 0} {
			r, err := e.Fork(context.Background(), "run", Fork{Turn: turn, Module: fixed})
			if err == nil {
				r, err = e.Wait(context.Background(), r.ID)
			}
			if err != nil || r.Status != flawless.Completed || string(r.Output) != `"100 did /last"` {
				t.Fatalf("forked at turn %d it became %+v %+v, %v", turn, r, r.Failure, err)
			}
			want := []string{"/last"}
			if turn == 0 {
				want = []string{"/last", "/left", "/right"}
			}
			if got := seen(); !slices.Equal(got, want) {
				t.Errorf("forked at turn %d, the outside saw %v, want %v", turn, got, want)
			}
			if got, err := e.Replay(context.Background(), r.ID, nil); err != nil || got.Divergence != nil || !got.Own {
				t.Errorf("the fork replayed: %+v %v, %v", got, got.Divergence, err)
			}
			d, err := e.Diff(context.Background(), "run", r.ID)
			if err != nil || d.Same || turn == run.Turns-1 && d.Turn != run.Turns {
				t.Errorf("forked at turn %d, they differ: %+v, %v", turn, d, err)
			}
		}
	})
}

// TestForkSpawnsChildrenOfItsOwnModule: the file that it continues with was never added under a name, and after a
// crash it is still found. The module it was forked from has newer versions, or none any more.
func TestForkSpawnsChildrenOfItsOwnModule(t *testing.T) {
	fixed := edition(t, "fixed")
	inVirtualTime(t, func(t *testing.T) {
		kv := mem.New()
		e := open(t, kv, Options{Kinds: echoing(nil)})
		mustStart(t, e, "family", 2, "run")
		mustComplete(t, e, "run", "1")
		mustStart(t, e, "conform", "http://outside.test", "by-name") // spawns a child by its module's name
		if r := mustEnd(t, e, "by-name"); r.Status != flawless.Completed {
			t.Fatalf("it is %+v, %+v", r, r.Failure)
		}
		first, err := e.Fork(context.Background(), "run", Fork{ID: "first", Module: fixed})
		if err != nil {
			t.Fatal(err)
		}
		mustComplete(t, e, "first", "1")
		if _, err := e.RemoveModule(context.Background(), "guest", 0); err != nil {
			t.Fatal(err)
		}
		e.Kill()
		if e, err = reopen(t, kv, Options{Kinds: echoing(nil)}); err != nil {
			t.Fatal(err)
		}
		defer e.Kill()
		if _, err := e.Fork(context.Background(), "by-name", Fork{ID: "named", Module: fixed}); err != nil {
			t.Fatal(err)
		}
		if r := mustEnd(t, e, "named"); r.Status != flawless.Completed {
			t.Errorf("without a module of its name it is %+v, %+v", r, r.Failure)
		}
		mustFork(t, e, "first", Fork{ID: "second"})
		mustComplete(t, e, "second", "1")
		children, _, err := e.Runs(context.Background(), flawless.Filter{Parent: "second"})
		if err != nil || len(children) != 2 {
			t.Fatalf("its children are %+v, %v", children, err)
		}
		for _, c := range children {
			if c.Digest != first.Digest {
				t.Errorf("child %s runs %.12s, its parent %.12s", c.ID, c.Digest, first.Digest)
			}
		}
	})
}

func TestForkAcceptsAnotherAnswer(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		e := open(t, mem.New(), Options{Kinds: echoing(nil)})
		defer e.Kill()
		in := map[string]any{"url": "http://outside.test", "steps": []any{map[string]any{"post": "/a"}, map[string]any{"post": "/b"}}}
		mustStart(t, e, "script", in, "run")
		run, err := e.Wait(context.Background(), "run")
		if err != nil || string(run.Output) != `["did /a","did /b"]` {
			t.Fatalf("it is %+v, %v", run, err)
		}
		o := Fork{Turn: 2, ID: "other", Answers: []flawless.Decision{{Call: 3, Status: 201, Body: []byte("edited")}}}
		r, err := e.Fork(context.Background(), "run", o)
		if err == nil {
			r, err = e.Wait(context.Background(), r.ID)
		}
		if err != nil || string(r.Output) != `["did /a","edited"]` {
			t.Errorf("it became %+v, %v", r, err)
		}
		d, err := e.Diff(context.Background(), "run", "other")
		if err != nil || d.What != "answer" || d.Turn != 3 || d.Call != 3 || !strings.Contains(d.InB, "edited") {
			t.Errorf("they differ: %+v, %v", d, err)
		}
		mustStart(t, e, "script", in, "again")
		if _, err := e.Wait(context.Background(), "again"); err != nil {
			t.Fatal(err)
		}
		if d, err := e.Diff(context.Background(), "run", "again"); err != nil || !d.Same {
			t.Errorf("two runs of the same: %+v, %v", d, err)
		}
	})
}

// TestForkIsIdempotent: with its id and the same request; any other with that id is refused.
func TestForkIsIdempotent(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		e, _ := failedRun(t)
		defer e.Kill()
		o := Fork{Turn: 1, ID: "fork", Answers: []flawless.Decision{{Call: 2, Status: 201, Body: []byte("edited")}}}
		first := mustFork(t, e, "run", o)
		if again, err := e.Fork(t.Context(), "run", o); err != nil || !again.Created.Equal(first.Created) || again.ID != "fork" {
			t.Errorf("asked again it is %+v, %v", again, err)
		}
		for name, change := range map[string]func(o *Fork){
			"another turn":   func(o *Fork) { o.Turn, o.Answers = 2, nil },
			"another answer": func(o *Fork) { o.Answers = []flawless.Decision{{Call: 2, Status: 200, Body: []byte("edited")}} },
			"no answer":      func(o *Fork) { o.Answers = nil },
		} {
			other := o
			change(&other)
			if _, err := e.Fork(t.Context(), "run", other); !errors.Is(err, flawless.Conflict) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

func TestImpossibleForksAreRefused(t *testing.T) {
	other := edition(t, "other")
	inVirtualTime(t, func(t *testing.T) {
		e, _ := failedRun(t)
		defer e.Kill()
		run, err := e.Run(context.Background(), "run")
		if err != nil {
			t.Fatal(err)
		}
		mustStart(t, e, "order", map[string]any{"item": "apple", "count": 1}, "order")
		for name, row := range map[string]struct {
			id   string
			o    Fork
			code flawless.Code
		}{
			"code that reads another input":     {"order", Fork{Module: other}, flawless.Invalid},
			"no such run":                       {"none", Fork{}, flawless.NotFound},
			"no such turn":                      {"run", Fork{Turn: 99}, flawless.NotFound},
			"a turn before the first":           {"run", Fork{Turn: -1}, flawless.Invalid},
			"its end":                           {"run", Fork{Turn: run.Turns}, flawless.Invalid},
			"an id that is taken":               {"run", Fork{Turn: 1, ID: "run"}, flawless.Conflict},
			"a bad id":                          {"run", Fork{Turn: 1, ID: "a b"}, flawless.Invalid},
			"code that asks for something else": {"run", Fork{Turn: 1, Module: other}, flawless.Diverged},
			"an answer to no call":              {"run", Fork{Turn: 1, Answers: []flawless.Decision{{Call: 77}}}, flawless.Invalid},
			"an answer that was delivered":      {"run", Fork{Turn: 3, Answers: []flawless.Decision{{Call: 2}}}, flawless.Invalid},
			"an answer that can be none":        {"run", Fork{Turn: 1, Answers: []flawless.Decision{{Call: 2, Status: 99}}}, flawless.Invalid},
		} {
			if _, err := e.Fork(context.Background(), row.id, row.o); !errors.Is(err, row.code) {
				t.Errorf("%s: %v, want %s", name, err, row.code)
			}
		}
	})
}

func TestForkOfCallInFlightNeedsDecision(t *testing.T) {
	t.Parallel()
	out := newOutside(t)
	held, seen := make(chan struct{}), make(chan struct{}, 10)
	out.delay = func(string) { seen <- struct{}{}; <-held }
	defer close(held)
	e := open(t, mem.New(), Options{})
	mustStart(t, e, "once", map[string]any{"url": out.URL + "/once"}, "run")
	<-seen
	r, err := e.Fork(t.Context(), "run", Fork{Turn: 1})
	if err != nil || r.Status != flawless.Unresolved || !strings.Contains(r.Unresolved[0].Reason, "run run") {
		t.Fatalf("it is %+v, %v", r, err)
	}
	if _, err := e.Resolve(t.Context(), r.ID, flawless.Decision{Call: r.Unresolved[0].Call, Resolution: flawless.Respond, Body: []byte("yes")}); err != nil {
		t.Fatal(err)
	}
	if r := mustEnd(t, e, r.ID); string(r.Output) != `"yes"` {
		t.Errorf("it became %+v", r)
	}
	if n := out.count("/once"); n != 1 {
		t.Errorf("the outside saw %d requests", n)
	}
}

// TestForkKnowsItsOwnID: what a fork makes is its own, also after a restart and in the fork of a fork.
func TestForkKnowsItsOwnID(t *testing.T) {
	t.Parallel()
	kv := mem.New()
	o := Options{URL: "http://first.example", Freezing: Freezing{Units: 1}}
	e := open(t, kv, o)
	settled := func(id string) {
		t.Helper()
		until(t, e, id, func(r flawless.Run) bool { return r.Turns >= 2 && r.Status == flawless.Waiting })
		var data struct{ Token, URL string }
		d, err := e.Data(t.Context(), id)
		if err != nil || json.Unmarshal(d, &data) != nil {
			t.Fatal(string(d), err)
		}
		open, err := e.Promises(t.Context(), id)
		if err != nil || len(open) != 2 || id != "h" && data.Token != open[1].Token {
			t.Fatalf("run %s shows the token %s and has the promises %+v, %v", id, data.Token, open, err)
		}
		for i, p := range open {
			value, _ := json.Marshal(fmt.Sprint(id, i))
			if _, err := e.Settle(t.Context(), p.Token, Settlement{Value: value}, ""); err != nil {
				t.Fatal(err)
			}
		}
	}
	mustStart(t, e, "itself", nil, "f")
	until(t, e, "f", func(r flawless.Run) bool { return r.Turns == 1 })
	if _, err := e.Fork(t.Context(), "f", Fork{Turn: 1, ID: "g"}); err != nil {
		t.Fatal(err)
	}
	mustSend(t, e, "f", "go", `""`)
	mustSend(t, e, "g", "go", `""`)
	until(t, e, "g", func(r flawless.Run) bool { return r.Turns == 2 })
	e.Kill()
	o.URL = "http://second.example"
	e = open(t, kv, o)
	if _, err := e.Fork(t.Context(), "g", Fork{Turn: 2, ID: "h"}); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Fork(t.Context(), "f", Fork{Turn: 0, ID: "i"}); err != nil {
		t.Fatal(err)
	}
	mustSend(t, e, "i", "go", `""`)
	for _, row := range []struct{ id, out, url string }{
		{"f", `{"Before":"f","After":"f","Old":"f0","New":"f1","Mail":3}`, "http://first.example/api/v1/promises/"},
		{"g", `{"Before":"f","After":"g","Old":"g0","New":"g1","Mail":3}`, "http://first.example/api/v1/promises/"},
		{"h", `{"Before":"f","After":"g","Old":"h0","New":"h1","Mail":3}`, "http://first.example/api/v1/promises/"},
		{"i", `{"Before":"i","After":"i","Old":"i0","New":"i1","Mail":3}`, "http://second.example/api/v1/promises/"},
	} {
		settled(row.id)
		mustComplete(t, e, row.id, row.out)
		if d, err := e.Data(t.Context(), row.id); err != nil || !strings.Contains(string(d), row.url) {
			t.Errorf("run %s has the data %s, %v", row.id, d, err)
		}
		if got, err := e.Replay(t.Context(), row.id, nil); err != nil || got.Divergence != nil {
			t.Errorf("run %s replayed: %+v, %v", row.id, got.Divergence, err)
		}
	}
	if n := messages(t, e, "f"); n != 4 {
		t.Errorf("the first run got %d messages, its forks sent it some", n)
	}
}

// TestForkSpawnsChildOfItsPastOnDecision: the child of the other run is on another server, and nobody here
// knows what becomes of it until a person decides.
func TestForkSpawnsChildOfItsPastOnDecision(t *testing.T) {
	t.Parallel()
	kv := mem.New()
	e := open(t, kv, Options{})
	mustStart(t, e, "parent", false, "f")
	untilThere(t, e, "f.2")
	b, err := bundled(e.Export(t.Context(), "f", Export{}))
	if err != nil {
		t.Fatal(err)
	}
	e.Kill()
	kv = mem.New()
	e = open(t, kv, Options{})
	if _, err := e.Import(t.Context(), b, ""); err != nil {
		t.Fatal(err)
	}
	r, err := e.Fork(t.Context(), "f", Fork{Turn: 1, ID: "g"})
	if err != nil || len(r.Unresolved) != 1 || r.Unresolved[0].Call != 2 {
		t.Fatalf("it is %+v, %v", r, err)
	}
	e.Kill()
	e = open(t, kv, Options{})
	if r, err := e.Pause(t.Context(), "g", flawless.Pause{}); err != nil || len(r.Unresolved) != 1 {
		t.Fatalf("after a restart it is %+v, %v", r, err)
	}
	if _, err := e.Pause(t.Context(), "g", flawless.Pause{Resume: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Run(t.Context(), "g.2"); !errors.Is(err, flawless.NotFound) {
		t.Fatalf("nobody wanted a child: %v", err)
	}
	if _, err := e.Resolve(t.Context(), "g", flawless.Decision{Call: 2, Resolution: flawless.Retry}); err != nil {
		t.Fatal(err)
	}
	untilThere(t, e, "g.2")
	if _, err := e.Cancel(t.Context(), "g", flawless.Cancel{}); err != nil {
		t.Fatal(err)
	}
	mustEnd(t, e, "g")
	if r := mustEnd(t, e, "g.2"); r.Status != flawless.Cancelled {
		t.Errorf("its child became %+v", r)
	}
}

// TestForkAndStatesOfItsPast: it was told that it holds a state, which is the other run's, or waits
// for one as that one did.
func TestForkAndStatesOfItsPast(t *testing.T) {
	t.Parallel()
	hereAndElsewhere(t, "kept", func(t *testing.T, e *Engine) {
		fork := func(of string, turn int, id string) {
			t.Helper()
			until(t, e, of, func(r flawless.Run) bool { return r.Turns >= turn })
			if _, err := e.Fork(t.Context(), of, Fork{Turn: turn, ID: id}); err != nil {
				t.Fatal(err)
			}
		}
		refused := func(id, why string) {
			t.Helper()
			mustSend(t, e, id, "go", `"`+id+`"`)
			if r := mustEnd(t, e, id); r.Failure == nil || !strings.Contains(r.Failure.Message, why) {
				t.Errorf("run %s became %+v, %+v", id, r, r.Failure)
			}
		}
		completes := func(id string) {
			t.Helper()
			mustSend(t, e, id, "go", `"`+id+`"`)
			mustComplete(t, e, id, `"kept"`)
		}
		mustStart(t, e, "keep", "", "a")
		fork("a", 2, "held")
		refused("held", "run a holds it now")
		fork("a", 2, "late")
		if _, err := e.Cancel(t.Context(), "a", flawless.Cancel{}); err != nil {
			t.Fatal(err)
		}
		mustEnd(t, e, "a")
		for { // what it asked for in its last turn is carried out behind its end
			if st, err := e.States().State(t.Context(), "kept"); errors.Is(err, flawless.NotFound) || err == nil && st.Holder == nil {
				break
			}
			time.Sleep(time.Millisecond)
		}
		fork("a", 2, "b")
		completes("b")
		refused("late", "it has changed since")

		mustStart(t, e, "keep", "", "c")
		holds(t, e, "c")
		mustStart(t, e, "keep", "", "d")
		queued(t, e, "d")
		fork("d", 1, "f")
		for _, id := range []string{"c", "d", "f"} {
			holds(t, e, id)
			completes(id)
		}
		fork("d", 1, "g") // which got it later
		completes("g")
		if s, err := e.States().State(t.Context(), "kept"); err != nil || string(s.Value) != `"bcdfg"` || s.Holder != nil {
			t.Errorf("the state is %+v, %v", s, err)
		}
	})
}

func TestInspect(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		e := open(t, mem.New(), Options{Kinds: echoing(nil)})
		defer e.Kill()
		asleep(t, e, "run", 1)
		i, err := e.Inspect(context.Background(), "run", 0, 1)
		if err != nil || i.Turn < 2 || i.Wake == 0 || i.Memory < 1<<20 || i.Own == 0 || len(i.Changes) == 0 {
			t.Errorf("at its last turn: %+v, %v", i, err)
		}
		if !strings.Contains(i.Blocked, "main.revised") {
			t.Errorf("it is blocked at %q", i.Blocked)
		}
		if !slices.ContainsFunc(i.Tasks, func(task flawless.Task) bool {
			return task.State == "sleep" && task.Count == 1 && onStack(task.Frames, "main.revised") && task.Frames[0].Site.File == "guest/revised.go"
		}) {
			t.Errorf("its goroutines are %+v", i.Tasks)
		}
		i, err = e.Inspect(context.Background(), "run", 1, 0)
		if err != nil || i.Turn != 1 || len(i.Pending) != 3 || i.Wake != 0 {
			t.Errorf("at its first turn: %+v, %v", i, err)
		}
		mustStart(t, e, "script", map[string]any{"url": "", "steps": []any{map[string]any{"data": 7}}}, "ended")
		synctest.Wait()
		i, err = e.Inspect(context.Background(), "ended", 0, 0)
		if err != nil || i.Ended == nil || string(i.Data) != "7" {
			t.Errorf("one that ended: %+v, %v", i, err)
		}
		for name, row := range map[string]struct {
			id            string
			turn, against int
			code          flawless.Code
		}{
			"no such run":               {"none", 0, 0, flawless.NotFound},
			"no such turn":              {"run", 50, 0, flawless.NotFound},
			"no turn to compare with":   {"run", 1, 50, flawless.NotFound},
			"nothing that an id can be": {"a b", 1, 0, flawless.Invalid},
		} {
			if _, err := e.Inspect(context.Background(), row.id, row.turn, row.against); !errors.Is(err, row.code) {
				t.Errorf("%s: %v, want %s", name, err, row.code)
			}
		}
		time.Sleep(time.Second)
	})
}

// TestForkInheritsUnknownOutcome: a call by which a guest says that it cannot continue.
func TestForkInheritsUnknownOutcome(t *testing.T) {
	t.Parallel()
	out := newOutside(t)
	e := open(t, mem.New(), Options{})
	mustStart(t, e, "trip", map[string]any{"URL": out.URL, "Fail": "car", "Stay": "hotel"}, "o")
	r := until(t, e, "o", unresolved)
	f, err := e.Fork(t.Context(), "o", Fork{Turn: r.Turns})
	if err != nil {
		t.Fatal(err)
	}
	if f = until(t, e, f.ID, unresolved); len(f.Unresolved) != len(r.Unresolved) {
		t.Errorf("it is %+v, its origin %+v", f, r)
	}
}
