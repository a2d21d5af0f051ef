package engine

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/core"
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/fork"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

func mustFork(t *testing.T, e *Engine, of string, o Fork) flawless.Run {
	t.Helper()
	r, err := e.Fork(t.Context(), of, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// failsBeside is a run that fails when it gets a message, while it waits for something else. It asks for the
// message when it has slept: a fork of it at its first turn gets another one.
func failsBeside(waits ...op) []op {
	return ops(beside(waits, ops(sleeps(1), receives(), awaits("missing"))))
}

func fails(t *testing.T, e *Engine, id string) {
	t.Helper()
	mustSend(t, e, id, "go", "1")
	if r := mustEnd(t, e, id); r.Status != flawless.Failed {
		t.Fatalf("it is %+v", r)
	}
	synctest.Wait()
}

// succeeds lets a fork of such a run do what failed before, once that can be done.
func succeeds(t *testing.T, e *Engine, id string) {
	t.Helper()
	if _, err := e.Run(t.Context(), "missing"); err != nil {
		mustStart(t, e, "want", ops(), "missing")
	}
	mustSend(t, e, id, "go", "1")
	mustComplete(t, e, id, `"done"`)
}

// TestForkAwaitsChildrenOfItsOrigin: the origin failed before its child ended. The fork gets what the
// child really returns, whenever it is made and whenever the child ends, and starts no other one.
func TestForkAwaitsChildrenOfItsOrigin(t *testing.T) {
	t.Parallel()
	inVirtualTime(t, func(t *testing.T) {
		kv := mem.New()
		e := open(t, kv, Options{})
		mustStart(t, e, "want", failsBeside(spawns(sleeps(5000))), "a")
		time.Sleep(time.Second)
		early := mustFork(t, e, "a", Fork{Turn: 1, ID: "early"})
		fails(t, e, "a")
		mustFork(t, e, "a", Fork{Turn: 1, ID: "b"})
		mustFork(t, e, "b", Fork{Turn: 1, ID: "c"})
		time.Sleep(time.Second)
		for _, id := range []string{"early", "b", "c"} {
			if r, err := e.Run(t.Context(), id); err != nil || r.Status != flawless.Waiting {
				t.Errorf("run %s is %+v, %v, while the child is not done", id, r, err)
			}
		}
		would, err := e.Offline(t.Context(), "a", Fork{Turn: 1})
		if err != nil || would.Ended == nil || would.Ended.Failure == nil || !strings.Contains(would.Ended.Failure.Message, "no run missing") {
			t.Errorf("with the world closed it is %+v, %v", would, err)
		}
		e.Kill()
		e = open(t, kv, Options{})
		defer e.Kill()
		time.Sleep(time.Minute)
		synctest.Wait()
		mustFork(t, e, "a", Fork{Turn: 1, ID: "late"})
		mustFork(t, e, "late", Fork{Turn: 1, ID: "later"})
		for _, id := range []string{early.ID, "b", "c", "late", "later"} {
			succeeds(t, e, id)
			if log := logText(t, e, id); strings.Count(log, `"done"`) < 1 || strings.Contains(log, "DOUBT") {
				t.Errorf("the log of %s is %s", id, log)
			}
			runs, _, err := e.Runs(t.Context(), flawless.Filter{Parent: id})
			if err != nil || len(runs) != 0 {
				t.Errorf("run %s has the children %+v, %v", id, runs, err)
			}
		}
	})
}

// logText is what a log has of answers and doubts.
func logText(t *testing.T, e *Engine, id string) string {
	t.Helper()
	log, err := e.Log(t.Context(), id, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, rec := range log {
		for _, x := range rec.Entries {
			switch {
			case x.Arrival != nil:
				fmt.Fprintf(&b, "%d: %s %s\n", x.Arrival.Call, x.Arrival.Head, x.Arrival.Body)
			case x.Unknown != nil:
				fmt.Fprintf(&b, "DOUBT %d: %s\n", x.Unknown.Call, x.Unknown.Reason)
			}
		}
	}
	return b.String()
}

// TestForkIgnoresAnswersAboutItsOrigin: the origin had ended, and heard so instead of an answer.
func TestForkIgnoresAnswersAboutItsOrigin(t *testing.T) {
	t.Parallel()
	inVirtualTime(t, func(t *testing.T) {
		e := open(t, mem.New(), Options{})
		defer e.Kill()
		mustStart(t, e, "want", ops(sleeps(5000)), "other")
		mustStart(t, e, "want", failsBeside(awaits("other")), "awaits")
		mustStart(t, e, "want", ops(takes("x", sleeps(5000))), "holder")
		mustStart(t, e, "want", failsBeside(takes("x")), "queues")
		time.Sleep(time.Second)
		for _, id := range []string{"awaits", "queues"} {
			fails(t, e, id)
			if log := logText(t, e, id); !strings.Contains(log, `"ended"`) {
				t.Errorf("the log of %s is %s", id, log)
			}
			mustFork(t, e, id, Fork{Turn: 1, ID: id + "-fork"})
		}
		time.Sleep(time.Second)
		for _, id := range []string{"awaits-fork", "queues-fork"} {
			if r, err := e.Run(t.Context(), id); err != nil || r.Status != flawless.Waiting {
				t.Errorf("run %s is %+v, %v", id, r, err)
			}
		}
		time.Sleep(time.Minute)
		for _, id := range []string{"awaits-fork", "queues-fork"} {
			succeeds(t, e, id)
		}
	})
}

// TestForkOfImportedRunNeedsDecision: what became of the open calls is known where the run came from, if anywhere.
func TestForkOfImportedRunNeedsDecision(t *testing.T) {
	t.Parallel()
	out := newOutside(t)
	held, seen := make(chan struct{}), make(chan struct{}, 1)
	out.delay = func(string) { seen <- struct{}{}; <-held }
	defer close(held)
	e := open(t, mem.New(), Options{})
	mustStart(t, e, "obey", nil, "other")
	mustStart(t, e, "want", ops(beside(ops(spawns(receives())), ops(awaits("other")), ops(op{"Post": out.URL + "/post"}))), "a")
	<-seen
	untilThere(t, e, "a.2")
	b, err := bundled(e.Export(t.Context(), "a", Export{}))
	if err != nil {
		t.Fatal(err)
	}
	there := open(t, mem.New(), Options{})
	if _, err := there.Import(t.Context(), b, ""); err != nil {
		t.Fatal(err)
	}
	if log := logText(t, there, "a"); strings.Count(log, `"imported"`) != 3 {
		t.Errorf("the log of the imported run is %s", log)
	}
	r := mustFork(t, there, "a", Fork{Turn: 1, ID: "f"})
	if r.Status != flawless.Unresolved || len(r.Unresolved) != 3 {
		t.Fatalf("the fork is %+v", r)
	}
	text := fmt.Sprint(r.Unresolved)
	for _, want := range []string{"a.2, which it was to start, is not here", "waited for the end of run other, which is not here", "made the call, and no outcome"} {
		if !strings.Contains(text, want) {
			t.Errorf("it is in doubt because of %s, want %q", text, want)
		}
	}
	for _, d := range r.Unresolved { // who knows says so
		word := flawless.Decision{Call: d.Call, Resolution: flawless.Respond, Body: []byte(`"done"`)}
		if _, err := there.Resolve(t.Context(), "f", word); err != nil {
			t.Fatal(err)
		}
	}
	mustComplete(t, there, "f", `"done"`)

	r = mustFork(t, there, "a", Fork{Turn: 1, ID: "g"})
	mustStart(t, there, "want", ops(), "other") // it is here now
	for _, d := range r.Unresolved {
		word := flawless.Decision{Call: d.Call, Resolution: flawless.Retry}
		if strings.HasPrefix(d.Request, "POST") {
			word = flawless.Decision{Call: d.Call, Resolution: flawless.Respond}
		}
		if _, err := there.Resolve(t.Context(), "g", word); err != nil {
			t.Fatal(err)
		}
	}
	var child string
	for _, d := range r.Unresolved {
		if strings.HasPrefix(d.Request, "spawn") {
			child = core.ChildID("g", d.Call)
		}
	}
	untilThere(t, there, child)
	mustSend(t, there, child, "go", "1")
	mustComplete(t, there, "g", `"done"`)
}

// TestForkInheritsNoCancelOrPause: the origin was cancelled or paused while it took the last turn
// that both share.
func TestForkInheritsNoCancelOrPause(t *testing.T) {
	t.Parallel()
	e := open(t, mem.New(), Options{})
	mustStart(t, e, "obey", nil, "a")
	r := until(t, e, "a", func(r flawless.Run) bool { return r.Status == flawless.Waiting })
	log, err := e.Log(t.Context(), "a", 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	last := &log[len(log)-1]
	before := []flawless.Entry{{At: 1, Pause: &flawless.Pause{}}, {At: 1, Cancel: &flawless.Cancel{Who: "ann"}},
		{At: 1, Arrival: &flawless.Arrival{Answer: effect.CancelAnswer(1, flawless.Cancel{Who: "ann"})}}}
	for i, x := range last.Entries {
		if x.Turn != nil {
			last.Entries = append(append(append([]flawless.Entry{}, last.Entries[:i]...), before...), last.Entries[i:]...)
			break
		}
	}
	m, err := e.library.Load(t.Context(), r.Digest)
	if err != nil {
		t.Fatal(err)
	}
	past, err := fork.New(t.Context(), m.Guest(), "a", log, fork.Options{Turn: r.Turns, Kinds: e.kinds, Runs: e.Run, Terms: e.terms})
	if err != nil {
		t.Fatal(err)
	}
	defer past.Release()
	if s, entries := past.Entries(t.Context(), "f", 0); s.CancelRequest() != nil || s.Paused() != nil || len(s.Ready()) > 0 || s.Status() != flawless.Waiting {
		t.Errorf("it is %s, of %+v", s.Status(), entries)
	}
}

// TestInvalidAnswersForForkAreRefused: an answer can neither give it a hold of a state nor cancel it.
func TestInvalidAnswersForForkAreRefused(t *testing.T) {
	t.Parallel()
	inVirtualTime(t, func(t *testing.T) {
		e := open(t, mem.New(), Options{})
		defer e.Kill()
		mustStart(t, e, "want", ops(takes("x", sleeps(100000))), "holder")
		synctest.Wait()
		mustStart(t, e, "want", ops(beside(ops(takes("x")), ops(receives()))), "a")
		synctest.Wait()
		for _, row := range []struct {
			name string
			call int
			body string
		}{
			{"a cancellation", 1, ""}, {"a state", 2, "7"}, {"a message that is not JSON", 3, "{"},
		} {
			_, err := e.Fork(t.Context(), "a", Fork{Turn: 1, Answers: []flawless.Decision{{Call: row.call, Body: []byte(row.body)}}})
			if !errors.Is(err, flawless.Invalid) {
				t.Errorf("%s: %v", row.name, err)
			}
		}
	})
}

// TestAwaitOfRemovedRunFails: how it ended is not known any more, and the error says so.
func TestAwaitOfRemovedRunFails(t *testing.T) {
	t.Parallel()
	inVirtualTime(t, func(t *testing.T) {
		e := open(t, mem.New(), Options{})
		defer e.Kill()
		mustStart(t, e, "want", ops(), "old")
		if _, err := e.ChangeSettings(t.Context(), "guest", func(s *flawless.Settings) { s.RetentionMS = 1000 }); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		mustStart(t, e, "want", ops(awaits("old")), "a")
		if r := mustEnd(t, e, "a"); r.Failure == nil || !strings.Contains(r.Failure.Message, "the run has ended and has been removed") || !strings.Contains(r.Failure.Message, "(not_found)") {
			t.Errorf("it is %+v, %+v", r, r.Failure)
		}
	})
}
