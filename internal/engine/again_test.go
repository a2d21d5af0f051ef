package engine

import (
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/core"
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

const refusedText = "not sent: connection refused"

// refusing stands for an outside that refuses connections until a moment.
type refusing struct {
	mu    sync.Mutex
	opens time.Time
	tries int
}

// tried is how often a connection was refused or made.
func (o *refusing) tried() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.tries
}

func (o *refusing) kinds() []effect.Kind {
	kinds := effect.Kinds(effect.Options{})
	for i := range kinds {
		if kinds[i].Name == effect.HTTP {
			kinds[i].Perform = func(_ context.Context, t effect.Attempt) effect.Result {
				o.mu.Lock()
				defer o.mu.Unlock()
				o.tries++
				if time.Now().Before(o.opens) {
					r := effect.Result{Outcome: effect.NotSent, Passes: true, Reason: "dial", Text: refusedText}
					r.Answer = effect.FailureAnswer(t.Call.N, "not_sent", r.Text, r.Reason, 0)
					return r
				}
				a, _ := effect.ResponseAnswer(t.Call.N, 200, []byte("done"))
				return effect.Result{Outcome: effect.Answered, Answer: a}
			}
		}
	}
	return kinds
}

// TestRefusedConnectionIsRetried: it waits until the other side is there, over restarts of the server,
// shows that, and its log stays small.
func TestRefusedConnectionIsRetried(t *testing.T) {
	inTimeFrom(t, "2026-01-01T00:00:00Z", func(t *testing.T) {
		kv, begun := mem.New(), time.Now()
		out := &refusing{opens: begun.Add(20 * time.Hour)}
		how := Options{Kinds: out.kinds(), Rest: time.Second}
		e := open(t, kv, how)
		mustStart(t, e, "once", map[string]any{"url": "https://pay.example"}, "run")
		for hour := range 20 {
			time.Sleep(time.Until(begun.Add(time.Duration(hour)*time.Hour + 30*time.Minute)))
			runs, _, err := e.Runs(t.Context(), flawless.Filter{Retrying: true})
			if err != nil || len(runs) != 1 || len(runs[0].Retrying) != 1 || e.Health().Retrying != 1 {
				t.Fatalf("after %v: %+v, %v, %d retrying", time.Since(begun), runs, err, e.Health().Retrying)
			}
			r := runs[0].Retrying[0]
			if r.Call != 2 || r.Request != "POST https://pay.example" || !r.Since.Equal(begun) || r.Attempts != out.tried() || r.Reason != refusedText || r.Next == nil || time.Until(*r.Next) > 5*time.Minute ||
				r.Until == nil || !r.Until.Equal(begun.Add(24*time.Hour)) {
				t.Fatalf("after %v and %d tries: %+v", time.Since(begun), out.tried(), r)
			}
			if hour%4 == 3 {
				e.Kill()
				e = open(t, kv, how)
			}
		}
		r := mustEndAfter(t, e, "run", time.Hour)
		if r.Status != flawless.Completed || string(r.Output) != `"done"` || len(r.Retrying) != 0 || e.Health().Retrying != 0 {
			t.Errorf("it is %+v %+v", r, r.Failure)
		}
		log, err := e.Log(t.Context(), "run", 0, 0)
		if err != nil || out.tried() < 200 || len(log) > 2*core.LoggedAttempts+10 {
			t.Errorf("%d tries have %d records, %v", out.tried(), len(log), err)
		}
		if report, err := e.Replay(t.Context(), "run", nil); err != nil || report.Divergence != nil {
			t.Errorf("the replay: %+v, %v", report.Divergence, err)
		}
		e.Kill()
	})
}

// TestDeadHostFailsRunAfterRetryWindow: downtime counts, there is one more try after it, and the code sees the error.
func TestDeadHostFailsRunAfterRetryWindow(t *testing.T) {
	inTimeFrom(t, "2026-01-01T00:00:00Z", func(t *testing.T) {
		kv, out := mem.New(), &refusing{opens: time.Now().Add(1000 * time.Hour)}
		hour := time.Hour
		how := Options{Kinds: out.kinds(), RetryFor: &hour}
		e := open(t, kv, how)
		mustStart(t, e, "once", map[string]any{"url": "https://pay.example"}, "run")
		time.Sleep(10 * time.Minute)
		before := out.tried()
		e.Kill()
		time.Sleep(2 * time.Hour)
		e = open(t, kv, how)
		r := mustEndAfter(t, e, "run", time.Minute)
		if r.Status != flawless.Failed || out.tried() != before+1 || !strings.Contains(r.Failure.Message, "it was retried for 1h (server), since 2026-01-01T00:00:00Z") {
			t.Errorf("after %d tries and %d more: %+v %+v", before, out.tried()-before, r, r.Failure)
		}
		e.Kill()
	})
}

// honouring is a server that carries out each key once within its window, as it counts time itself.
type honouring struct {
	*httptest.Server
	mu       sync.Mutex
	effects  map[string]int
	requests int
	seen     map[string]bool
}

func newHonouring(t *testing.T) *honouring {
	h := &honouring{effects: map[string]int{}, seen: map[string]bool{}}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		h.mu.Lock()
		defer h.mu.Unlock()
		h.requests++
		if key := r.Header.Get("Idempotency-Key"); !h.seen[key] {
			h.seen[key] = true
			h.effects[key]++
		}
		_, _ = io.WriteString(w, "charged")
	}))
	t.Cleanup(h.Close)
	return h
}

func (h *honouring) forget() {
	h.mu.Lock()
	defer h.mu.Unlock()
	clear(h.seen)
}

func (h *honouring) counts() (requests, effects int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, n := range h.effects {
		effects += n
	}
	return h.requests, effects
}

// TestDeathAtEveryWriteUnderConcurrencyKey: the server of a call to a host that honours keys dies at every write and comes
// back in time, too late, or with a clock that is wrong. The call takes effect once, and is never sent again
// when its key may be forgotten.
func TestDeathAtEveryWriteUnderConcurrencyKey(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name  string
		later time.Duration // the clock of the second life
	}{{"in time", time.Hour}, {"too late", 25 * time.Hour}, {"the clock went back", -time.Hour}} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			doubts := 0
			for left := 1; ; left++ {
				died := false
				for _, after := range []bool{false, true} {
					d, u := deathUnderAKey(t, fmt.Sprintf("%s, write %d, after %v", row.name, left, after), left, after, row.later)
					died = died || d
					if u {
						doubts++
					}
				}
				if !died {
					break
				}
			}
			if (doubts > 0) != (row.later != time.Hour) {
				t.Errorf("%s: %d lives end in doubt", row.name, doubts)
			}
		})
	}
}

func deathUnderAKey(t *testing.T, name string, left int, after bool, later time.Duration) (died, doubt bool) {
	t.Helper()
	server, d := newHonouring(t), &memory{mem.New()}
	begin := Start{Module: "guest", Workflow: "chain", Input: input(t, map[string]any{"url": server.URL, "n": 2}), ID: "run"}
	first := newMortal(d.open(t), math.MaxInt, after)
	setUp := func(e *Engine) {
		if _, err := e.Policy().ChangeHost(t.Context(), "127.0.0.1", func(h *flawless.Host) { h.KeyMS = (24 * time.Hour).Milliseconds() }); err != nil {
			t.Fatal(err)
		}
		first.left.Store(int64(left))
	}
	died = runUntilDeath(t, name, d, first, Options{}, begin, setUp)
	before, _ := server.counts()
	if later > 24*time.Hour {
		server.forget()
	}
	e := open(t, d.open(t), Options{Now: func() time.Time { return time.Now().Add(later) }})
	defer e.Kill()
	if _, _, err := e.Start(t.Context(), begin); err != nil {
		t.Fatal(err)
	}
	r := until(t, e, "run", func(r flawless.Run) bool { return r.Status.Ended() || unresolved(r) })
	requests, effects := server.counts()
	calls := 2
	if doubt = unresolved(r); doubt {
		calls = r.Unresolved[0].Call - 1 // call 1 waits for a cancellation
		if !strings.Contains(r.Unresolved[0].Reason, "honoured for 24h (host 127.0.0.1)") {
			t.Errorf("%s: the reason is %q", name, r.Unresolved[0].Reason)
		}
		if requests != before {
			t.Errorf("%s: it is in doubt, and was sent again", name)
		}
	} else if r.Status != flawless.Completed {
		t.Errorf("%s: it is %+v %+v", name, r, r.Failure)
	}
	if effects > calls || !doubt && effects != calls {
		t.Errorf("%s: %d effects of %d calls, %d requests", name, effects, calls, requests)
	}
	return died, doubt
}
