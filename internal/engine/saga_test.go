package engine

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

// booking is what the outside of the workflow perish has seen, in order.
type booking struct {
	mu   sync.Mutex
	seen []string
}

func (b *booking) kinds() []effect.Kind {
	return echoing(func(path string) { b.mu.Lock(); defer b.mu.Unlock(); b.seen = append(b.seen, path) })
}

func (b *booking) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Join(b.seen, " ")
}

// TestStepsNotUndoneAreNamed ends a run in the middle of a saga in each way there is. Either the
// steps are undone, or the failure and a line of the log name them.
func TestStepsNotUndoneAreNamed(t *testing.T) {
	t.Parallel()
	const named = "not undone: hotel, flight"
	terminate := func(t *testing.T, e *Engine) {
		if _, err := e.Terminate(t.Context(), "r", flawless.Cancel{Who: "ann"}); err != nil {
			t.Fatal(err)
		}
	}
	for _, row := range []struct {
		how    string
		do     func(t *testing.T, e *Engine) // nil sends the message
		kind   string                        // of the failure
		undone bool
		lines  string // what the lines end with, where it is not the name of the steps
	}{
		{how: "exit", kind: "exit"},
		{how: "fatal", kind: "exit"},
		{how: "memory", kind: "memory"},
		{how: "panic beside", kind: "panic"},
		{how: "nil", kind: "panic"},
		{how: "unlock", kind: "panic"},
		{how: "deep"},
		{how: "stuck", kind: "stuck"},
		{how: "terminate", do: terminate, kind: "terminated", lines: "none"},
		{how: "deadline", kind: "deadline", lines: "none", do: func(t *testing.T, e *Engine) {
			c := flawless.Cancel{Deadline: time.Now().Add(time.Minute).UnixNano()}
			if _, err := e.Pause(t.Context(), "r", flawless.Pause{}); err != nil {
				t.Fatal(err)
			}
			if _, err := e.Cancel(t.Context(), "r", c); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Hour)
		}},
		{how: "beside: it fails", kind: "error", do: func(*testing.T, *Engine) { time.Sleep(2 * time.Hour) }},
		{how: "panic", kind: "panic", undone: true},
		{how: "goexit", kind: "error", undone: true},
		{how: "error", kind: "error", undone: true},
		{how: "body", kind: "error", undone: true},
		{how: "cancel", kind: "cancelled", undone: true, do: func(t *testing.T, e *Engine) {
			if _, err := e.Cancel(t.Context(), "r", flawless.Cancel{}); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		for _, again := range []string{"", ", after a restart", ", from an image"} {
			t.Run(row.how+again, func(t *testing.T) {
				t.Parallel()
				inVirtualTime(t, func(t *testing.T) {
					var outside booking
					o := Options{Kinds: outside.kinds()}
					if again == ", from an image" {
						o.Freezing = Freezing{Units: 1}
					}
					kv := mem.New()
					e := open(t, kv, o)
					mustStart(t, e, "perish", map[string]string{"URL": "http://outside.test", "How": row.how}, "r")
					time.Sleep(time.Minute)
					synctest.Wait()
					if again != "" {
						e.Kill()
						e = open(t, kv, o)
					}
					defer e.Kill()
					if row.do != nil {
						row.do(t, e)
					} else {
						mustSend(t, e, "r", "go", "1")
					}
					time.Sleep(time.Minute)
					r := mustEnd(t, e, "r")
					if r.Failure == nil || row.kind != "" && r.Failure.Kind != row.kind {
						t.Fatalf("it is %+v, %+v", r, r.Failure)
					}
					want := "/flight /hotel"
					if row.undone {
						want += " /undo-hotel /undo-flight"
					}
					if got := outside.String(); got != want {
						t.Errorf("the outside saw %s, want %s", got, want)
					}
					if strings.HasSuffix(r.Failure.Message, "; "+named) == row.undone || row.undone && strings.Contains(r.Failure.Message, "not undone") {
						t.Errorf("it failed with %q", r.Failure.Message)
					}
					if lines := linesOf(t, e, "r"); row.lines == "" && strings.HasSuffix(lines, "error: "+named+"\n") == row.undone {
						t.Errorf("its lines are %s", lines)
					}
					if again == ", from an image" && e.Health().Thawed == 0 && row.do == nil {
						t.Error("it was not thawed: the test proves nothing")
					}
					if got, err := e.Replay(t.Context(), "r", nil); err != nil || got.Divergence != nil {
						t.Errorf("replayed it is %+v, %v", got.Divergence, err)
					}
				})
			})
		}
	}
}

// TestTurnBeyondTimeLimitNamesOpenSteps: nothing of the turn is kept, so the engine has to know them.
func TestTurnBeyondTimeLimitNamesOpenSteps(t *testing.T) {
	t.Parallel()
	var outside booking
	e := open(t, mem.New(), Options{Kinds: outside.kinds(), TurnTime: 500 * time.Millisecond})
	mustStart(t, e, "perish", map[string]string{"URL": "http://outside.test", "How": "spin"}, "r")
	mustSend(t, e, "r", "go", "1")
	r := mustEnd(t, e, "r")
	if r.Failure == nil || r.Failure.Kind != "time" || !strings.HasSuffix(r.Failure.Message, "; not undone: hotel, flight") {
		t.Errorf("it is %+v, %+v", r, r.Failure)
	}
	if lines := linesOf(t, e, "r"); !strings.HasSuffix(lines, "error: not undone: hotel, flight\n") {
		t.Errorf("its lines are %s", lines)
	}
}

// TestTurnWithTooManyLinesNamesOpenSteps: the guest is ended while the turn can still be written.
func TestTurnWithTooManyLinesNamesOpenSteps(t *testing.T) {
	t.Parallel()
	var outside booking
	e := open(t, mem.New(), Options{Kinds: outside.kinds()})
	mustStart(t, e, "perish", map[string]string{"URL": "http://outside.test", "How": "lines"}, "r")
	mustSend(t, e, "r", "go", "1")
	r := mustEnd(t, e, "r")
	if r.Status != flawless.Failed || r.Failure == nil || r.Failure.Kind != "limit" || !strings.HasSuffix(r.Failure.Message, "; not undone: hotel, flight") {
		t.Errorf("it is %s %q, %+v", r.Status, r.Problem, r.Failure)
	}
}

// TestPanicReportsUnfinishedUndo: nothing else reports it, because the panic continues.
func TestPanicReportsUnfinishedUndo(t *testing.T) {
	t.Parallel()
	inVirtualTime(t, func(t *testing.T) {
		var outside booking
		e := open(t, mem.New(), Options{Kinds: outside.kinds()})
		defer e.Kill()
		mustStart(t, e, "perish", map[string]string{"URL": "http://outside.test", "How": "no refund"}, "r")
		mustSend(t, e, "r", "go", "1")
		for _, how := range []flawless.Resolution{flawless.Tell, flawless.Respond} {
			synctest.Wait()
			r, err := e.Run(t.Context(), "r")
			if err != nil || len(r.Unresolved) != 1 {
				t.Fatalf("it is %+v, %v", r, err)
			}
			if _, err := e.Resolve(t.Context(), "r", flawless.Decision{Call: r.Unresolved[0].Call, Resolution: how, Text: "it stays"}); err != nil {
				t.Fatal(err)
			}
		}
		if r := mustEnd(t, e, "r"); r.Failure == nil || r.Failure.Message != "it fell; not undone: hotel" {
			t.Errorf("it is %+v, %+v", r, r.Failure)
		}
	})
}

// TestCompletingWithinSagaIsLogged: a goroutine of it was in the middle of one.
func TestCompletingWithinSagaIsLogged(t *testing.T) {
	t.Parallel()
	inVirtualTime(t, func(t *testing.T) {
		var outside booking
		e := open(t, mem.New(), Options{Kinds: outside.kinds()})
		defer e.Kill()
		mustStart(t, e, "perish", map[string]string{"URL": "http://outside.test", "How": "beside"}, "r")
		time.Sleep(2 * time.Hour)
		mustComplete(t, e, "r", `"done"`)
		if lines := linesOf(t, e, "r"); lines != "warn: not undone: hotel, flight\n" {
			t.Errorf("its lines are %s", lines)
		}
	})
}

// TestOversizedBodyFailsItsCall goes through all ways in which a guest hands over something.
func TestOversizedBodyFailsItsCall(t *testing.T) {
	t.Parallel()
	for how, want := range map[string]string{"post": "", "spawn": "", "detached": "", "send": "", "reply": "", "data": "", "state": "", "log": "", "print": "limit: the log lines of the turn exceed the limit of 16 MiB",
		"output": "error: the output has 67108867 bytes, the limit is 67108864", "error": "error: xxx", "panic": "panic: xxx"} {
		e := open(t, mem.New(), Options{})
		mustStart(t, e, "bulky", how, "r")
		if how == "reply" {
			mustSend(t, e, "r", "go", "1")
		}
		r, err := e.Wait(t.Context(), "r") // which takes long on a machine that is busy
		if err != nil {
			t.Fatal(err)
		}
		switch failure := fmt.Sprint(r.Failure); {
		case want == "" && string(r.Output) != `"too_large"`:
			t.Errorf("%s: it is %s with %s, %.300s", how, r.Status, r.Output, failure)
		case want != "" && (r.Failure == nil || !strings.HasPrefix(r.Failure.Kind+": "+r.Failure.Message, want) || len(r.Failure.Message) > 1<<20):
			t.Errorf("%s: it is %s, %.300s", how, r.Status, failure)
		}
		e.Kill()
	}
}
