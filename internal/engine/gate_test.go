package engine

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

// lineUp starts a run of the workflow that waits for a cancellation, at a place.
func lineUp(t *testing.T, e *Engine, id string, p flawless.Place) {
	t.Helper()
	time.Sleep(time.Second)
	if _, _, err := e.Start(t.Context(), Start{Module: "guest", Workflow: "obey", ID: id, Place: p}); err != nil {
		t.Fatal(err)
	}
}

// finish ends a run, and returns when whoever could begin in its place has.
func finish(t *testing.T, e *Engine, id string) {
	t.Helper()
	if _, err := e.Terminate(t.Context(), id, flawless.Cancel{}); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
}

func begun(t *testing.T, e *Engine) string { return strings.Join(runsOf(t, e, flawless.Waiting), " ") }
func pendingRuns(t *testing.T, e *Engine) string {
	return strings.Join(runsOf(t, e, flawless.Pending), " ")
}

func wantRuns(t *testing.T, e *Engine, when, running, pending string) {
	t.Helper()
	synctest.Wait()
	if a, b := begun(t, e), pendingRuns(t, e); a != running || b != pending {
		t.Errorf("%s: begun are %q, pending %q; want %q and %q", when, a, b, running, pending)
	}
}

func TestAKeyLetsSoManyRunsBegin(t *testing.T) {
	inTimeFrom(t, "2026-01-01T00:00:00Z", func(t *testing.T) {
		kv := mem.New()
		e := open(t, kv, Options{})
		p := flawless.Place{Key: "customer-7", Limit: 2}
		for _, id := range []string{"a", "b", "c", "d", "e"} {
			lineUp(t, e, id, p)
		}
		p.Priority = 5
		lineUp(t, e, "urgent", p)
		lineUp(t, e, "other", flawless.Place{Key: "customer-8"})
		lineUp(t, e, "free", flawless.Place{})
		wantRuns(t, e, "at first", "a b other free", "c d e urgent")
		finish(t, e, "b")
		wantRuns(t, e, "when b has ended", "a urgent other free", "c d e")
		e.Kill()
		e = open(t, kv, Options{})
		wantRuns(t, e, "after a restart", "a urgent other free", "c d e")
		finish(t, e, "d") // it never began
		finish(t, e, "a")
		wantRuns(t, e, "when a has ended", "c urgent other free", "e")
		e.Kill()
		e = open(t, kv, Options{})
		finish(t, e, "c")
		finish(t, e, "urgent")
		wantRuns(t, e, "at last", "e other free", "")
		if _, err := e.Cancel(t.Context(), "e", flawless.Cancel{}); err != nil {
			t.Fatal(err)
		}
		e.Kill()
	})
}

func TestAModuleLetsSoManyRunsBegin(t *testing.T) {
	inTimeFrom(t, "2026-01-01T00:00:00Z", func(t *testing.T) {
		kv := mem.New()
		e := open(t, kv, Options{})
		limit := func(n int) {
			t.Helper()
			if _, err := e.ChangeSettings(t.Context(), "guest", func(s *flawless.Settings) { s.Concurrency = n }); err != nil {
				t.Fatal(err)
			}
		}
		lineUp(t, e, "a", flawless.Place{})
		lineUp(t, e, "b", flawless.Place{})
		lineUp(t, e, "c", flawless.Place{})
		limit(2)
		lineUp(t, e, "d", flawless.Place{})
		lineUp(t, e, "e", flawless.Place{Priority: 1})
		lineUp(t, e, "f", flawless.Place{Key: "k"})
		lineUp(t, e, "g", flawless.Place{Key: "k"})
		wantRuns(t, e, "under a cap that came late", "a b c", "d e f g")
		finish(t, e, "a")
		wantRuns(t, e, "when one of three has ended", "b c", "d e f g")
		finish(t, e, "b")
		wantRuns(t, e, "when two have ended", "c e", "d f g")
		e.Kill()
		e = open(t, kv, Options{})
		wantRuns(t, e, "after a restart", "c e", "d f g")
		limit(5)
		wantRuns(t, e, "under a wider cap", "c d e f", "g")
		finish(t, e, "f")
		wantRuns(t, e, "when the key is free", "c d e g", "")
		limit(1)
		lineUp(t, e, "h", flawless.Place{})
		wantRuns(t, e, "under a narrow cap", "c d e g", "h")
		limit(0)
		wantRuns(t, e, "without a cap", "c d e g h", "")
		e.Kill()
	})
}

// TestACapIsKeptOverManyRuns: never more than the cap at once, and all of them end.
func TestACapIsKeptOverManyRuns(t *testing.T) {
	inTimeFrom(t, "2026-01-01T00:00:00Z", func(t *testing.T) {
		kv := mem.New()
		e := open(t, kv, Options{})
		const runs, limit = 60, 3
		for i := range runs {
			in := Start{Module: "guest", Workflow: "sleep", Input: []byte("1"), ID: fmt.Sprint("r", i), Place: flawless.Place{Key: "k", Limit: limit}}
			if _, _, err := e.Start(t.Context(), in); err != nil {
				t.Fatal(err)
			}
		}
		for day := 0; ; day++ {
			synctest.Wait()
			n := len(runsOf(t, e, flawless.Waiting))
			if n > limit {
				t.Fatalf("on day %d there are %d at once", day, n)
			}
			if n == 0 {
				break
			}
			if n < limit {
				t.Errorf("on day %d there are only %d at once", day, n)
			}
			if day == 7 {
				e.Kill()
				e = open(t, kv, Options{})
			}
			time.Sleep(24*time.Hour + time.Minute)
		}
		if n := len(runsOf(t, e, flawless.Completed)); n != runs {
			t.Errorf("%d runs have ended", n)
		}
		if len(e.gates.all)+len(e.gates.passed)+len(e.gates.waiting) > 0 {
			t.Errorf("the gates still hold %v %v", e.gates.passed, e.gates.waiting)
		}
		e.Kill()
	})
}

func TestBadPlaces(t *testing.T) {
	t.Parallel()
	e := open(t, mem.New(), Options{})
	for name, p := range map[string]flawless.Place{
		"a cap without a key":   {Limit: 3},
		"a negative cap":        {Key: "k", Limit: -1},
		"a key of two lines":    {Key: "a\nb"},
		"a long key":            {Key: strings.Repeat("k", 201)},
		"a priority of its own": {Priority: 1001},
	} {
		if _, _, err := e.Start(t.Context(), Start{Module: "guest", Workflow: "empty", Place: p}); !errors.Is(err, flawless.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
