package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

// till is a server in virtual time. A request takes effect when it comes, and is answered after a while,
// one that is idempotent a second later.
type till struct {
	mu     sync.Mutex
	takes  time.Duration
	status int
	seen   []string       // "POST /pay" when one comes, "POST /pay." when it is answered
	last   time.Time      // when the last one came
	keys   map[string]int // how often each Idempotency-Key came
}

func newTill(takes time.Duration) *till {
	return &till{takes: takes, status: 200, keys: map[string]int{}}
}

func (s *till) kinds() []effect.Kind {
	kinds := effect.Kinds(effect.Options{})
	for i := range kinds {
		if kinds[i].Name == effect.HTTP {
			kinds[i].Perform = s.perform
		}
	}
	return kinds
}

func (s *till) perform(ctx context.Context, t effect.Attempt) effect.Result {
	what := strings.Replace(t.Policy.Title, "https://shop.example", "", 1)
	at := time.Now()
	s.mu.Lock()
	s.seen = append(s.seen, what)
	if n := len(s.seen); n > 1 && at.Equal(s.last) {
		slices.Sort(s.seen[n-2:]) // they came at the same moment
	}
	s.last = at
	s.keys[fmt.Sprintf("%s-%d", t.Run, t.Call.N)]++
	takes, code := s.takes, s.status
	if t.Policy.Idempotent {
		takes += time.Second
	}
	s.mu.Unlock()
	select {
	case <-ctx.Done():
		return effect.Result{Outcome: effect.Unknown, Answer: effect.ErrorAnswer(t.Call.N, "interrupted", "cut"), Text: "cut"}
	case <-time.After(takes):
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, what+".")
	a, _ := effect.ResponseAnswer(t.Call.N, code, []byte("did "+what))
	return effect.Result{Outcome: effect.Answered, Answer: a, Again: code == 503 && t.Policy.Retry.Attempts > 1, Text: fmt.Sprint(code)}
}

// story is what the shop saw.
func (s *till) story() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.seen, ", ")
}

// saw reports whether a request with the key of a call came.
func (s *till) saw(run string, call int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keys[fmt.Sprintf("%s-%d", run, call)] > 0
}

// atTill runs f in virtual time with an engine that has the guests in Rust.
func atTill(t *testing.T, takes time.Duration, f func(t *testing.T, s *till, e *Engine, kv *mem.DB)) {
	t.Helper()
	if _, err := compiledCrates(); err != nil { // outside of the bubble, for other tests use them too
		t.Fatal(err)
	}
	inTimeFrom(t, "2026-01-01T00:00:00Z", func(t *testing.T) {
		s, kv := newTill(takes), mem.New()
		e := openRust(t, kv, Options{Kinds: s.kinds()})
		f(t, s, e, kv)
	})
}

func mustStartRust(t *testing.T, e *Engine, module, workflow string, in any) {
	t.Helper()
	if _, _, err := e.Start(t.Context(), Start{Module: module, Workflow: workflow, Input: input(t, in), ID: "run"}); err != nil {
		t.Fatal(err)
	}
}

func mustCancel(t *testing.T, e *Engine) {
	t.Helper()
	if _, err := e.Cancel(t.Context(), "run", flawless.Cancel{Who: "ann"}); err != nil {
		t.Fatal(err)
	}
}

// wantEnd waits for the end of the run, and compares it, what the shop saw, and the replay.
func wantEnd(t *testing.T, e *Engine, s *till, end, story string) {
	t.Helper()
	r := mustEndAfter(t, e, "run", 48*time.Hour)
	time.Sleep(48 * time.Hour) // what is done after the end is seen too
	got := string(r.Status)
	if r.Output != nil {
		got = string(r.Output)
	}
	if got != end || s.story() != story {
		t.Errorf("it is %s, want %s: %+v\nthe shop saw %s\nand should see %s", got, end, r.Failure, s.story(), story)
	}
	if err := e.verify(t.Context(), "run"); err != nil {
		t.Errorf("the replay: %v", err)
	}
	e.Kill()
}

const tillURL = "https://shop.example/pay"

// TestRustTimeoutDoesNotOvertakeRequest: a request takes effect, its answer is late, and code that
// gives up after a second would make it again.
func TestRustTimeoutDoesNotOvertakeRequest(t *testing.T) {
	const (
		once  = "POST /pay, POST /pay."
		did   = `[1,"did POST /pay"]`
		never = `[3,"elapsed"]`
	)
	for _, row := range []struct{ module, how, end, story string }{
		{"beside", "timeout", did, once},
		{"beside", "in a block", did, once},
		{"beside", "two timeouts", did, once},
		{"beside", "a join", did, once},
		{"beside", "select", did, once},
		{"beside", "select, the time first", did, once},
		{"plain", "timeout", did, once},
		// It may be made again without harm, and is not waited for.
		{"beside", "idempotent", never, "POST /pay, POST /pay, POST /pay"},
		{"plain", "idempotent", never, "POST /pay, POST /pay, POST /pay"},
		// The code throws the outcome away and makes another request, but not before there is one. In
		// the select, the second one has no time left when it could begin.
		{"beside", "another select", never, once + ", " + once},
		{"plain", "dropped", never, once + ", " + once + ", " + once},
	} {
		t.Run(row.module+": "+row.how, func(t *testing.T) {
			atTill(t, 2500*time.Millisecond, func(t *testing.T, s *till, e *Engine, _ *mem.DB) {
				mustStartRust(t, e, row.module, "late", []string{tillURL, row.how})
				wantEnd(t, e, s, row.end, row.story)
			})
		})
	}
}

// TestRustCodeGetsLateAnswer goes over a network, in real time: the server answers when the code has
// withdrawn its request.
func TestRustCodeGetsLateAnswer(t *testing.T) {
	t.Parallel()
	e := openRust(t, mem.New(), Options{})
	for _, row := range []struct {
		module, how string
		calls       int // when it is withdrawn
	}{{"beside", "timeout", 3}, {"plain", "timeout", 4}, {"beside", "await", 3}, {"plain", "await", 3}} {
		t.Run(row.module+": "+row.how, func(t *testing.T) {
			t.Parallel()
			out, came, gate := newOutside(t), make(chan struct{}, 2), make(chan struct{})
			out.delay = func(string) { came <- struct{}{}; <-gate }
			answer := sync.OnceFunc(func() { close(gate) })
			defer answer()
			id := startRust(t, e, row.module, "late", []string{out.URL + "/pay", row.how}).ID
			<-came
			if row.how == "await" {
				if _, err := e.Cancel(t.Context(), id, flawless.Cancel{Who: "ann"}); err != nil {
					t.Fatal(err)
				}
			}
			until(t, e, id, func(r flawless.Run) bool { return r.Calls == row.calls || r.Status.Ended() })
			answer()
			if r := mustEnd(t, e, id); string(r.Output) != `[1,"did /pay"]` || out.count("/pay") != 1 {
				t.Errorf("it is %s %s %+v, and there were %d requests", r.Status, r.Output, r.Failure, out.count("/pay"))
			}
		})
	}
}

// TestRustDowntimeIsNoTimeout: the server dies while a request is under way, and the code's time is
// over when it continues. The request is made again, under the same key, and no other.
func TestRustDowntimeIsNoTimeout(t *testing.T) {
	const did = `[1,"did POST /pay"]`
	for _, row := range []struct {
		module, how string
		resolved    bool // a person says that it did not happen
	}{
		{"beside", "timeout", true},
		{"beside", "select", true},
		{"plain", "timeout", true},
		{"beside", "idempotent", false},
		{"plain", "idempotent", false},
	} {
		t.Run(row.module+": "+row.how, func(t *testing.T) {
			atTill(t, 2500*time.Millisecond, func(t *testing.T, s *till, e *Engine, kv *mem.DB) {
				mustStartRust(t, e, row.module, "late", []string{tillURL, row.how})
				time.Sleep(700 * time.Millisecond)
				e.Kill()
				time.Sleep(time.Hour)
				e = openRust(t, kv, Options{Kinds: s.kinds()})
				if row.resolved {
					until(t, e, "run", unresolved)
					time.Sleep(time.Hour)
					if _, err := e.Resolve(t.Context(), "run", flawless.Decision{Call: 2, Resolution: flawless.Retry}); err != nil {
						t.Fatal(err)
					}
				}
				wantEnd(t, e, s, did, "POST /pay, POST /pay, POST /pay.")
				if len(s.keys) != 1 {
					t.Errorf("the keys are %v", s.keys)
				}
			})
		})
	}
}

// TestRustWithdrawnCallsNeverBegin: requests that wait for a limit, or for another try.
func TestRustWithdrawnCallsNeverBegin(t *testing.T) {
	for _, row := range []struct{ module, how string }{
		{"beside", "timeout"}, {"beside", "another select"}, {"plain", "timeout"}, {"plain", "dropped"},
	} {
		t.Run(row.module+": a limit, "+row.how, func(t *testing.T) {
			atTill(t, time.Millisecond, func(t *testing.T, s *till, e *Engine, _ *mem.DB) {
				mustLimit(t, e, "shop.example", "1/h", 1)
				mustEnd(t, e, startRust(t, e, "beside", "get", "https://shop.example/first").ID)
				mustStartRust(t, e, row.module, "late", []string{tillURL, row.how})
				wantEnd(t, e, s, `[3,"elapsed"]`, "GET /first, GET /first.")
			})
		})
	}
	t.Run("another try", func(t *testing.T) {
		atTill(t, time.Millisecond, func(t *testing.T, s *till, e *Engine, _ *mem.DB) {
			s.status = 503
			mustStartRust(t, e, "beside", "late", []string{tillURL, "retried"})
			wantEnd(t, e, s, `[3,"elapsed"]`, strings.TrimSuffix(strings.Repeat("POST /pay, POST /pay., ", 3), ", "))
		})
	})
}

// TestRustCancelledRunWaitsForOutcomes: the code of a cancelled run is given the outcome of a request
// that was under way, and the cancellation where there is none to wait for.
func TestRustCancelledRunWaitsForOutcomes(t *testing.T) {
	const (
		sent = "POST /pay, POST /pay."
		did  = `[1,"did POST /pay"]`
	)
	for _, row := range []struct{ module, how, end, story string }{
		{"beside", "await", did, sent},
		{"beside", "until cancelled", did, sent},
		{"beside", "await idempotent", "cancelled", "POST /pay"},
		{"plain", "await", did, sent},
		{"plain", "await any", did, sent},
		{"plain", "await for a day", did, sent},
		{"plain", "await idempotent", "cancelled", "POST /pay"},
	} {
		t.Run(row.module+": "+row.how, func(t *testing.T) {
			atTill(t, 3*time.Second, func(t *testing.T, s *till, e *Engine, _ *mem.DB) {
				mustStartRust(t, e, row.module, "late", []string{tillURL, row.how})
				time.Sleep(time.Second)
				mustCancel(t, e)
				synctest.Wait()
				r, err := e.Run(t.Context(), "run")
				if over := row.end == "cancelled"; err != nil || r.Status.Ended() != over {
					t.Errorf("at once after it was cancelled it is %s, %v", r.Status, err)
				}
				wantEnd(t, e, s, row.end, row.story)
			})
		})
	}
}

// TestRustUndoNeverOvertakesItsStep: the step's requests are under way when the saga ends, one of
// them idempotent.
func TestRustUndoNeverOvertakesItsStep(t *testing.T) {
	const both = "POST /pay-post, PUT /pay-put, POST /pay-post., PUT /pay-put., DELETE /pay-undo, DELETE /pay-undo."
	t.Run("beside: cancelled", func(t *testing.T) {
		atTill(t, 3*time.Second, func(t *testing.T, s *till, e *Engine, _ *mem.DB) {
			mustStartRust(t, e, "beside", "undone", []any{tillURL, 3600})
			time.Sleep(time.Second)
			mustCancel(t, e)
			wantEnd(t, e, s, "cancelled", both)
		})
	})
	t.Run("beside: a timeout around it", func(t *testing.T) {
		atTill(t, 3*time.Second, func(t *testing.T, s *till, e *Engine, _ *mem.DB) {
			mustStartRust(t, e, "beside", "undone", []any{tillURL, 1})
			wantEnd(t, e, s, `"given up"`, both)
		})
	})
	t.Run("plain: cancelled", func(t *testing.T) {
		atTill(t, 3*time.Second, func(t *testing.T, s *till, e *Engine, _ *mem.DB) {
			mustStartRust(t, e, "plain", "undone", []any{tillURL, false})
			time.Sleep(time.Second)
			mustCancel(t, e)
			wantEnd(t, e, s, "cancelled", both)
		})
	})
	t.Run("plain: a panic", func(t *testing.T) {
		atTill(t, 3*time.Second, func(t *testing.T, s *till, e *Engine, _ *mem.DB) {
			mustStartRust(t, e, "plain", "undone", []any{tillURL, true})
			wantEnd(t, e, s, "failed", both)
		})
	})
}

// TestRustOtherBranchKeepsItsResult: a message is not lost, and the code behind it makes no request
// before the outcome of the one it gave up.
func TestRustOtherBranchKeepsItsResult(t *testing.T) {
	atTill(t, 3*time.Second, func(t *testing.T, s *till, e *Engine, _ *mem.DB) {
		mustStartRust(t, e, "beside", "message-first", tillURL)
		time.Sleep(time.Second)
		mustSend(t, e, "run", "stop", `"enough"`)
		wantEnd(t, e, s, `"enough"`, "POST /pay, POST /pay., POST /pay-after, POST /pay-after.")
	})
}

func TestRustBorrowedRequestContinues(t *testing.T) {
	atTill(t, 3500*time.Millisecond, func(t *testing.T, s *till, e *Engine, _ *mem.DB) {
		mustStartRust(t, e, "beside", "watched", tillURL)
		wantEnd(t, e, s, `[3,"did POST /pay"]`, "POST /pay, POST /pay.")
	})
}

// TestRustReturnedRunWaitsForNothing: of two requests that the code does not wait for, one is under way at
// the end, and the other was dropped before it could begin.
func TestRustReturnedRunWaitsForNothing(t *testing.T) {
	for _, module := range []string{"beside", "plain"} {
		t.Run(module, func(t *testing.T) {
			atTill(t, time.Hour, func(t *testing.T, s *till, e *Engine, _ *mem.DB) {
				began := time.Now()
				mustStartRust(t, e, module, "leave", tillURL)
				if mustEnd(t, e, "run"); time.Since(began) > 2*time.Second {
					t.Errorf("it ended after %v", time.Since(began))
				}
				wantEnd(t, e, s, "null", "POST /pay-first, POST /pay-first.")
			})
		})
	}
}

// TestRustDeathAtEveryWriteOfWithdrawal: whenever the server dies, the request is made under one key.
func TestRustDeathAtEveryWriteOfWithdrawal(t *testing.T) {
	modules, err := compiledCrates()
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct{ module, how string }{{"beside", "timeout"}, {"plain", "timeout"}} {
		for _, after := range []bool{false, true} {
			deaths := 0
			for left, died := 1, true; died; left++ {
				name := fmt.Sprintf("%s, %s, death at write %d, after it %v", row.module, row.how, left, after)
				atTill(t, 2500*time.Millisecond, func(t *testing.T, s *till, e *Engine, kv *mem.DB) {
					e.Kill()
					how := Options{Kinds: s.kinds(), Loaded: slices.Clone(modules)}
					begin := Start{Module: row.module, Workflow: "late", Input: input(t, []string{tillURL, row.how}), ID: "run"}
					dying := newMortal(kv, left, after)
					died = runUntilDeath(t, name, &memory{kv}, dying, how, begin)
					if died {
						deaths++
					}
					e, r := settle(t, name, kv, how, begin, func(d flawless.Doubt) (string, bool) {
						return "did POST /pay", s.saw("run", d.Call)
					})
					if string(r.Output) != `[1,"did POST /pay"]` || len(s.keys) != 1 {
						t.Errorf("%s: it is %s %+v, the shop saw %v", name, r.Output, r.Failure, s.keys)
					}
					checkLog(t, e, name)
					e.Kill()
				})
			}
			if deaths < 4 {
				t.Errorf("%s: it died at %d writes only: the test proves nothing", row.module, deaths)
			}
		}
	}
}
