package engine

import (
	"context"
	"strings"
	"testing"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

// breaking are kinds of calls where no HTTP exchange gets an answer.
func breaking() []effect.Kind {
	kinds := effect.Kinds(effect.Options{})
	for i := range kinds {
		if kinds[i].Name == effect.HTTP {
			kinds[i].Perform = func(context.Context, effect.Attempt) effect.Result {
				return effect.Result{Outcome: effect.Unknown, Text: "the connection broke off"}
			}
		}
	}
	return kinds
}

// TestUnresolvedCallShowsWhatWasSent: under the key that the outside has seen, which in a fork is that of the run
// whose past it shares, until it sends the call itself.
func TestUnresolvedCallShowsWhatWasSent(t *testing.T) {
	t.Parallel()
	kv := mem.New()
	e := open(t, kv, Options{Kinds: breaking()})
	doubtful := func(id string) flawless.Run {
		t.Helper()
		return until(t, e, id, func(r flawless.Run) bool { return r.Status == flawless.Unresolved })
	}
	want := func(id string, try int, key string) {
		t.Helper()
		r, err := e.WithSent(t.Context(), doubtful(id))
		if err != nil || len(r.Unresolved) != 1 || r.Unresolved[0].Sent == nil {
			t.Fatalf("of run %s it gets %+v, %v", id, r.Unresolved, err)
		}
		s := r.Unresolved[0].Sent
		if s.Attempt != try || s.IdempotencyKey != key || s.Method != "POST" || s.URL != "http://pay.test/charge" || string(s.Body) != "body" || s.Size != 4 || s.Begun.IsZero() {
			t.Errorf("run %s has sent %+v, want try %d with the key %s", id, s, try, key)
		}
		for _, h := range []string{`["Content-Type","text/plain"]`, `["Idempotency-Key","` + key + `"]`, `["User-Agent",`} {
			if !strings.Contains(string(s.Headers), h) {
				t.Errorf("run %s has sent the headers %s, without %s", id, s.Headers, h)
			}
		}
	}
	retry := func(id string) {
		t.Helper()
		n := doubtful(id).Unresolved[0].Call
		if _, err := e.Resolve(t.Context(), id, flawless.Decision{Call: n, Resolution: flawless.Retry}); err != nil {
			t.Fatal(err)
		}
	}
	mustStart(t, e, "once", Task{URL: "http://pay.test/charge"}, "run")
	want("run", 1, "run-2")
	retry("run")
	want("run", 2, "run-2")
	mustFork(t, e, "run", Fork{ID: "fork", Turn: 1})
	mustFork(t, e, "fork", Fork{ID: "of-fork", Turn: 1})
	want("fork", 1, "run-2")
	want("of-fork", 1, "run-2")
	retry("fork")
	want("fork", 2, "fork-2")
	e.Kill()
	e = open(t, kv, Options{Kinds: breaking()})
	want("run", 2, "run-2")
	want("fork", 2, "fork-2")
	if runs, _, err := e.Runs(t.Context(), flawless.Filter{}); err != nil || len(runs) != 3 || runs[0].Unresolved[0].Sent != nil {
		t.Errorf("a list tells %+v, %v", runs, err)
	}
}
