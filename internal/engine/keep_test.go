package engine

import (
	"context"
	"errors"
	"maps"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

// sleepCut lets a run sleep for 24 days, of which 21 in the hands of a first server that keeps few
// turns, and returns the second one and what the first has left.
func sleepCut(t *testing.T, damage func(kv store.KV)) (*Engine, []flawless.Record) {
	t.Helper()
	kv := mem.New()
	how := Options{Freezing: Freezing{Turns: 5}, Rest: time.Hour}
	e := open(t, kv, how)
	if s, err := e.ChangeSettings(context.Background(), "guest", func(s *flawless.Settings) { s.KeepTurns = 3 }); err != nil || s.KeepTurns != 3 {
		t.Fatalf("it keeps %d turns, %v", s.KeepTurns, err)
	}
	mustStart(t, e, "sleep", 24, "run")
	time.Sleep(21*24*time.Hour + time.Hour)
	log, err := e.Log(context.Background(), "run", 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	e.Kill()
	if damage != nil {
		damage(kv)
	}
	return open(t, kv, how), log
}

func TestLogIsCutBeforeImage(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		e, log := sleepCut(t, nil)
		defer e.Kill()
		cut := log[0].Cut
		if cut == nil || cut.Turns < 10 || log[1].Seq != cut.Next || log[0].Entries[0].Start == nil {
			t.Fatalf("it was not cut: %+v", log[0])
		}
		if first := log[1].Entries; first[0].Turn == nil || first[0].Turn.N != cut.Turns+1 {
			t.Errorf("turn %d is followed by %+v", cut.Turns, first)
		}
		if last := log[len(log)-1].Entries; last[len(last)-1].Turn.N-cut.Turns < 3 {
			t.Errorf("only %d turns are kept", last[len(last)-1].Turn.N-cut.Turns)
		}
		r, err := e.Wait(context.Background(), "run")
		if err != nil || r.Status != flawless.Completed || string(r.Output) != `"576h0m0s"` || r.Turns != 25 {
			t.Fatalf("it is %+v, %v", r, err)
		}
		whole := r.Cost
		synctest.Wait()
		if inMemory, _ := e.runs.InMemory("run"); inMemory {
			t.Error("the run has not left memory")
		}
		if r, err := e.Run(context.Background(), "run"); err != nil || r.Cost != whole || r.Turns != 25 {
			t.Errorf("from its log it has cost %d in %d turns, and %d in 25: %v", r.Cost, r.Turns, whole, err)
		}
		if err := e.verify(context.Background(), "run"); !errors.Is(err, flawless.Refused) || !strings.Contains(err.Error(), "--keep-turns") {
			t.Errorf("replaying it from its start: %v", err)
		}
		for from := range uint64(30) {
			part, err := e.Log(context.Background(), "run", from, 2)
			if err != nil || from > 0 && len(part) > 0 && part[0].Seq != max(from, log[0].Cut.Next) && from < log[0].Cut.Next {
				t.Errorf("from record %d: %+v, %v", from, part, err)
			}
		}
	})
}

func TestCutLogWithoutImageQuarantinesRun(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		e, _ := sleepCut(t, func(kv store.KV) {
			if err := kv.Apply(t.Context(), &store.Batch{Delete: [][]byte{rowOf('f', "run")}}); err != nil {
				t.Fatal(err)
			}
		})
		defer e.Kill()
		time.Sleep(48 * time.Hour)
		r, err := e.Run(context.Background(), "run")
		if err != nil || r.Status != flawless.Unresolved || !strings.Contains(r.Problem, "--keep-turns") {
			t.Errorf("it is %+v, %v", r, err)
		}
	})
}

func TestUpgradeReportsCutLog(t *testing.T) {
	fixed := edition(t, "fixed")
	inVirtualTime(t, func(t *testing.T) {
		e, _ := sleepCut(t, nil)
		defer e.Kill()
		addEdition(t, e, fixed)
		u := mustUpgrade(t, e, Upgrade{})
		if len(u.Runs) != 1 || u.Moved != 0 || u.Runs[0].Verdict != flawless.Undecided || !strings.Contains(u.Runs[0].Reason, "--keep-turns") {
			t.Errorf("the report is %+v", u)
		}
		if r, err := e.Wait(context.Background(), "run"); err != nil || r.Status != flawless.Completed {
			t.Errorf("on its old code it is %+v, %v", r, err)
		}
	})
}

// outlived is a run that has ended with a cut log, and one call of which is to be tried again.
type outlived struct {
	kv  store.KV
	how Options

	mu   sync.Mutex
	seen map[string]int // tries, by path
}

func (o *outlived) tries() map[string]int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return maps.Clone(o.seen)
}

// outlive lets a run end with a first server that keeps few turns, and returns a second one.
func outlive(t *testing.T, damage func(kv store.KV)) (*Engine, *outlived) {
	t.Helper()
	o := &outlived{kv: mem.New(), seen: map[string]int{}}
	kinds := echoing(func(path string) { o.mu.Lock(); defer o.mu.Unlock(); o.seen[path]++ })
	o.how = Options{Freezing: Freezing{Turns: 5}, Rest: time.Hour, Kinds: kinds}
	e := open(t, o.kv, o.how)
	if _, err := e.ChangeSettings(context.Background(), "guest", func(s *flawless.Settings) { s.KeepTurns = 3 }); err != nil {
		t.Fatal(err)
	}
	mustLimit(t, e, "slow.test", "1/d", 0)
	mustStart(t, e, "outlive", map[string]any{"url": "http://outside.test", "other": "http://slow.test", "n": 24}, "run")
	time.Sleep(time.Hour + time.Minute)
	if _, err := e.Send(context.Background(), "run", flawless.Message{Type: "x", Body: []byte("1"), Key: "k"}); err != nil {
		t.Fatal(err)
	}
	if r, err := e.Wait(context.Background(), "run"); err != nil || r.Status != flawless.Completed {
		t.Fatalf("it is %+v, %v", r, err)
	}
	e.Kill()
	if damage != nil {
		damage(o.kv)
	}
	return open(t, o.kv, o.how), o
}

func loseImage(t *testing.T) func(kv store.KV) {
	return func(kv store.KV) {
		if err := kv.Apply(t.Context(), &store.Batch{Delete: [][]byte{rowOf('f', "run")}}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestEndedRunWithCutLogRepeatsNoCall: what it had done before the log begins is known from
// its image.
func TestEndedRunWithCutLogRepeatsNoCall(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		e, o := outlive(t, nil)
		defer e.Kill()
		log, err := e.Log(context.Background(), "run", 0, 1)
		if err != nil || log[0].Cut == nil {
			t.Fatalf("it was not cut: %+v, %v", log, err)
		}
		if m, err := e.store.Image(context.Background(), "run"); err != nil || len(m.Guest) > 0 {
			t.Errorf("its image has a guest of %d bytes, %v", len(m.Guest), err)
		}
		children, _, err := e.Runs(context.Background(), flawless.Filter{Parent: "run"})
		if err != nil || len(children) != 1 {
			t.Fatalf("its children are %+v, %v", children, err)
		}
		if ok, err := e.retention().Remove(context.Background(), children[0], e.clockNow()); !ok || err != nil {
			t.Fatalf("its child was not removed: %v", err)
		}
		if _, err := e.Send(context.Background(), "run", flawless.Message{Type: "x", Body: []byte("1"), Key: "k"}); err != nil {
			t.Errorf("a message that came before: %v", err)
		}
		if _, err := e.Send(context.Background(), "run", flawless.Message{Type: "x", Body: []byte("1")}); !errors.Is(err, flawless.Conflict) {
			t.Errorf("another message: %v", err)
		}
		time.Sleep(3 * 24 * time.Hour)
		if n := o.tries(); n["/put"] != 1 || n["/post"] != 1 || n["/again"] != 2 {
			t.Errorf("the outside saw %v", n)
		}
		if children, _, err := e.Runs(context.Background(), flawless.Filter{Parent: "run"}); err != nil || len(children) > 0 {
			t.Errorf("its child was begun again: %+v, %v", children, err)
		}
		r, err := e.Run(context.Background(), "run")
		if err != nil || r.Status != flawless.Completed || string(r.Output) != `"done"` || len(r.Unresolved) > 0 || r.Problem != "" {
			t.Errorf("it is %+v, %v", r, err)
		}
		if ok, err := e.retention().Remove(context.Background(), r, e.clockNow()); !ok || err != nil {
			t.Errorf("it cannot be removed: %v", err)
		}
		if _, err := e.store.Image(context.Background(), "run"); !errors.Is(err, flawless.NotFound) {
			t.Errorf("its image is left: %v", err)
		}
	})
}

// TestCutLogWithoutImageRepeatsNoCall: which calls of the run are open is unknown.
func TestCutLogWithoutImageRepeatsNoCall(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		e, o := outlive(t, loseImage(t))
		defer e.Kill()
		time.Sleep(3 * 24 * time.Hour)
		for range 2 {
			r, err := e.Run(context.Background(), "run")
			if err != nil || r.Status != flawless.Completed || string(r.Output) != `"done"` || !strings.Contains(r.Problem, "--keep-turns") {
				t.Errorf("it is %+v, %v", r, err)
			}
			if _, err := e.Send(context.Background(), "run", flawless.Message{Type: "x", Body: []byte("1")}); err == nil {
				t.Error("it takes a message")
			}
			if n := o.tries(); n["/put"] != 1 || n["/post"] != 1 || n["/again"] != 1 {
				t.Errorf("the outside saw %v", n)
			}
			e.Kill()
			e = open(t, o.kv, o.how)
		}
	})
}

// TestCutLogWithoutImageOfEndedRun: nothing is open, and nothing is missed.
func TestCutLogWithoutImageOfEndedRun(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		e, o := outlive(t, nil)
		time.Sleep(3 * 24 * time.Hour)
		e.Kill()
		loseImage(t)(o.kv)
		e = open(t, o.kv, o.how)
		defer e.Kill()
		if _, err := e.Send(context.Background(), "run", flawless.Message{Type: "x", Body: []byte("1")}); !errors.Is(err, flawless.Conflict) {
			t.Errorf("it takes a message: %v", err)
		}
		if n := o.tries(); n["/put"] != 1 || n["/post"] != 1 || n["/again"] != 2 {
			t.Errorf("the outside saw %v", n)
		}
		r, err := e.Run(context.Background(), "run")
		if err != nil || r.Status != flawless.Completed || string(r.Output) != `"done"` || r.Problem != "" {
			t.Errorf("it is %+v, %v", r, err)
		}
	})
}
