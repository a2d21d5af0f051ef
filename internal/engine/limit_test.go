package engine

import (
	"context"
	"errors"
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

// exchanges stands for the outside in virtual time: it notes when which run asked for something.
type exchanges struct {
	mu    sync.Mutex
	at    []time.Time
	runs  []string
	calls []int
	busy  bool // calls with a policy are answered with 503
	lose  bool // no answer arrives
}

func (x *exchanges) kinds() []effect.Kind {
	kinds := effect.Kinds(effect.Options{})
	for i := range kinds {
		if kinds[i].Name == effect.HTTP {
			kinds[i].Perform = x.perform
		}
	}
	return kinds
}

func (x *exchanges) perform(_ context.Context, t effect.Attempt) effect.Result {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.at, x.runs, x.calls = append(x.at, time.Now()), append(x.runs, t.Run), append(x.calls, t.Call.N)
	if x.lose {
		return effect.Result{Outcome: effect.Unknown, Passes: true, Text: "the connection broke", Answer: effect.ErrorAnswer(1, "interrupted", "the connection broke")}
	}
	if x.busy && t.Policy.Retry.Attempts > 1 {
		return status(503, true, 0)
	}
	a, _ := effect.ResponseAnswer(t.Call.N, 200, []byte("ok"))
	return effect.Result{Outcome: effect.Answered, Answer: a}
}

// most returns how many exchanges there were in any span of time.
func (x *exchanges) most(span time.Duration) (most int) {
	for i := range x.at {
		n := 0
		for _, at := range x.at[i:] {
			if at.Sub(x.at[i]) < span {
				n++
			}
		}
		most = max(most, n)
	}
	return most
}

func (x *exchanges) count(run string) (n int) {
	for _, r := range x.runs {
		if r == run {
			n++
		}
	}
	return n
}

// saw reports whether an exchange of a call has begun.
func (x *exchanges) saw(run string, call int) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	for i := range x.runs {
		if x.runs[i] == run && x.calls[i] == call {
			return true
		}
	}
	return false
}

func mustLimit(t *testing.T, e *Engine, host, rate string, burst int) {
	t.Helper()
	n, period, err := flawless.ParseRate(rate)
	if err == nil {
		_, err = e.Limits().Set(t.Context(), flawless.Limit{Host: host, Count: n, PeriodMS: period.Milliseconds(), Burst: burst})
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestRateLimitHoldsAndIsFair(t *testing.T) {
	inTimeFrom(t, "2026-01-01T00:00:00Z", func(t *testing.T) {
		x := &exchanges{}
		e := open(t, mem.New(), Options{Kinds: x.kinds()})
		mustLimit(t, e, "api.example.com", "10/s", 0)
		began := time.Now()
		mustStart(t, e, "fan", map[string]any{"url": "https://api.example.com", "n": 50}, "many")
		mustStart(t, e, "fan", map[string]any{"url": "https://api.example.com", "n": 3}, "few")
		mustStart(t, e, "fan", map[string]any{"url": "https://other.example.com", "n": 50}, "free")
		if r := mustEnd(t, e, "free"); r.Status != flawless.Completed || time.Since(began) > 0 {
			t.Errorf("a run towards another host took %v: %+v", time.Since(began), r)
		}
		synctest.Wait()
		if all := e.Limits().List(); len(all) != 1 || all[0].Waiting != 52 {
			t.Errorf("limits: %+v", all)
		}
		if r := mustEnd(t, e, "few"); r.Status != flawless.Completed || time.Since(began) > 700*time.Millisecond {
			t.Errorf("a run with three calls took %v beside one with fifty: %+v", time.Since(began), r)
		}
		if r := mustEnd(t, e, "many"); r.Status != flawless.Completed || time.Since(began) < 5100*time.Millisecond || time.Since(began) > 5500*time.Millisecond {
			t.Errorf("53 calls of ten a second took %v: %+v", time.Since(began), r)
		}
		x.at = slices.DeleteFunc(x.at, func(at time.Time) bool { return at.Equal(began) }) // those that were free
		if n := x.most(time.Second); n > 10 || x.count("many") != 50 || x.count("few") != 3 {
			t.Errorf("there were %d in a second", n)
		}
		log, _ := e.Log(t.Context(), "few", 0, 0)
		if text := string(input(t, log)); !strings.Contains(text, "for a permit under the limit of 10/s for api.example.com") {
			t.Errorf("the log does not say what was waited for: %s", text)
		}
		if err := e.verify(t.Context(), "many"); err != nil {
			t.Errorf("the replay: %v", err)
		}
		e.Kill()
	})
}

// TestCrashDoesNotRepeatWaitingCalls: the server dies again and again while calls wait; none is lost,
// doubled or of unknown outcome, and the limit holds over the restarts.
func TestCrashDoesNotRepeatWaitingCalls(t *testing.T) {
	inTimeFrom(t, "2026-01-01T00:00:00Z", func(t *testing.T) {
		kv, x := mem.New(), &exchanges{}
		e := open(t, kv, Options{Kinds: x.kinds(), Freezing: Freezing{Turns: 1}})
		mustLimit(t, e, "api.example.com", "6/m", 0)
		for i := range 4 {
			mustStart(t, e, "fan", map[string]any{"url": "https://api.example.com", "n": 4}, fmt.Sprint("r", i))
			mustStart(t, e, "chain", map[string]any{"url": "https://api.example.com", "n": 2}, fmt.Sprint("c", i))
		}
		for range 10 {
			time.Sleep(17 * time.Second)
			synctest.Wait()
			e.Kill()
			e = open(t, kv, Options{Kinds: x.kinds(), Freezing: Freezing{Turns: 1}})
		}
		for i := range 4 {
			for id, n := range map[string]int{fmt.Sprint("r", i): 4, fmt.Sprint("c", i): 2} {
				if r := mustEndAfter(t, e, id, time.Hour); r.Status != flawless.Completed || x.count(id) != n {
					t.Errorf("%s: %d exchanges, it is %+v %+v", id, x.count(id), r, r.Failure)
				}
			}
		}
		if n := x.most(time.Minute); n > 6 {
			t.Errorf("there were %d in a minute", n)
		}
		e.Kill()
	})
}

func mustEndAfter(t *testing.T, e *Engine, id string, most time.Duration) flawless.Run {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), most)
	defer cancel()
	r, err := e.Wait(ctx, id)
	if err != nil {
		t.Fatalf("waiting for %s: %v; it is %+v", id, err, r)
	}
	return r
}

func TestChangedRateLimitAppliesAtOnce(t *testing.T) {
	inTimeFrom(t, "2026-01-01T00:00:00Z", func(t *testing.T) {
		x := &exchanges{}
		e := open(t, mem.New(), Options{Kinds: x.kinds()})
		task := map[string]any{"url": "https://api.example.com:8443", "n": 10}
		mustLimit(t, e, "api.example.com", "100/s", 1)
		mustLimit(t, e, "API.example.com:8443", "1/h", 1)
		mustStart(t, e, "fan", task, "a")
		synctest.Wait()
		if len(x.at) != 1 {
			t.Errorf("%d calls under a limit of one an hour", len(x.at))
		}
		mustLimit(t, e, "api.example.com:8443", "5/h", 5)
		time.Sleep(13 * time.Minute)
		synctest.Wait()
		if len(x.at) < 5 || len(x.at) > 7 {
			t.Errorf("%d calls after thirteen minutes of five an hour", len(x.at))
		}
		mustStart(t, e, "fan", task, "gone")
		synctest.Wait()
		if _, err := e.Terminate(t.Context(), "gone", flawless.Cancel{}); err != nil {
			t.Fatal(err)
		}
		if err := e.Limits().Remove(t.Context(), "api.example.com:8443"); err != nil {
			t.Fatal(err)
		}
		if r := mustEnd(t, e, "a"); r.Status != flawless.Completed || x.count("a") != 10 || x.count("gone") > 0 {
			t.Errorf("without the limit it is %+v, %d exchanges, %d of the one that was terminated", r, x.count("a"), x.count("gone"))
		}
		if err := e.Limits().Remove(t.Context(), "api.example.com:8443"); !errors.Is(err, flawless.NotFound) {
			t.Errorf("removing it again: %v", err)
		}
		e.Kill()
	})
}

// TestRateLimitAppliesToEverySpellingOfHost: by an operator, or in the URL of a call.
func TestRateLimitAppliesToEverySpellingOfHost(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ limit, url string }{
		{"[::1]:8080", "http://[::1]:8080/"},
		{"[::1]", "http://[0:0::1]/"},
		{"localhost.", "http://localhost/"},
		{"localhost:80", "http://LOCALHOST./"},
	} {
		e := open(t, mem.New(), Options{})
		mustLimit(t, e, row.limit, "1/h", 0)
		p, err := e.kinds[effect.HTTP].Check(flawless.Call{N: 1, Kind: effect.HTTP, Head: input(t, map[string]any{"url": row.url})})
		if err != nil || !e.limits.Has(p.Host, p.Port) {
			t.Errorf("a limit for %s does not hold for %s: %v", row.limit, row.url, err)
		}
		if err := e.Limits().Remove(t.Context(), row.limit); err != nil {
			t.Errorf("removing it: %v", err)
		}
	}
}

// TestKeyExpiresWhileRequestQueues: a request that may have taken effect waits for a permit under a
// limit, to be repeated. The run is unresolved when the host may forget its key, not when the permit comes, and the
// request is never sent again.
func TestKeyExpiresWhileRequestQueues(t *testing.T) {
	inTimeFrom(t, "2026-01-01T00:00:00Z", func(t *testing.T) {
		for _, longer := range []bool{false, true} {
			x := &exchanges{lose: true}
			kv := mem.New()
			e := open(t, kv, Options{Kinds: x.kinds()})
			within := func(d time.Duration) {
				if _, err := e.Policy().ChangeHost(t.Context(), "api.example.com", func(h *flawless.Host) { h.KeyMS = d.Milliseconds() }); err != nil {
					t.Fatal(err)
				}
			}
			within(10 * time.Minute)
			mustLimit(t, e, "api.example.com", "1/h", 0)
			mustStart(t, e, "chain", map[string]any{"url": "https://api.example.com", "n": 1}, "run")
			time.Sleep(time.Minute)
			synctest.Wait()
			if longer { // by somebody who has read the documentation again, while it waits
				within(2 * time.Hour)
			} else {
				e.Kill()
				e = open(t, kv, Options{Kinds: x.kinds()})
			}
			time.Sleep(9*time.Minute + time.Second)
			synctest.Wait()
			r, err := e.Run(t.Context(), "run")
			if err != nil || unresolved(r) == longer || !longer && !strings.Contains(r.Unresolved[0].Reason, "which ended at 2026-01-01T00:10:00Z") {
				t.Errorf("after ten minutes it is %+v, %v", r, err)
			}
			time.Sleep(100 * time.Minute)
			synctest.Wait()
			if want := map[bool]int{false: 1, true: 2}[longer]; len(x.at) != want {
				t.Errorf("with a longer time %v it was sent %d times", longer, len(x.at))
			}
			if all := e.Limits().List(); all[0].Waiting != 0 && !longer {
				t.Errorf("limits: %+v", all)
			}
			e.Kill()
		}
	})
}

func TestInvalidRateLimitsAreRefused(t *testing.T) {
	t.Parallel()
	e := open(t, mem.New(), Options{})
	for name, l := range map[string]flawless.Limit{
		"no host":           {Count: 1, PeriodMS: 1000},
		"a path":            {Host: "a.example.com/x", Count: 1, PeriodMS: 1000},
		"a scheme":          {Host: "https://a.example.com", Count: 1, PeriodMS: 1000},
		"a bad port":        {Host: "a.example.com:x", Count: 1, PeriodMS: 1000},
		"no calls":          {Host: "a.example.com", PeriodMS: 1000},
		"no time":           {Host: "a.example.com", Count: 1},
		"a burst beyond it": {Host: "a.example.com", Count: 1, PeriodMS: 1000, Burst: 2},
	} {
		if _, err := e.Limits().Set(t.Context(), l); !errors.Is(err, flawless.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, text := range []string{"", "10", "10/w", "0/s", "-1/s", "1.5/s", "10/s/s", "9999999/s"} {
		if _, _, err := flawless.ParseRate(text); !errors.Is(err, flawless.Invalid) {
			t.Errorf("%q is taken for a rate: %v", text, err)
		}
	}
}

// early tells of the first exchange that came earlier than a limit allows: n of them take at least as
// long as those beyond the burst have to wait.
func (x *exchanges) early(interval time.Duration, burst int) error {
	for i := range x.at {
		for j := i + burst; j < len(x.at); j++ {
			if least := time.Duration(j-i+1-burst) * interval; x.at[j].Sub(x.at[i]) < least {
				return fmt.Errorf("exchanges %d to %d took %v, the limit says %v at least", i+1, j+1, x.at[j].Sub(x.at[i]), least)
			}
		}
	}
	return nil
}

// TestDeathAtEveryWriteOfRateLimitedRuns: the server dies before and after each write of runs whose calls
// wait. No call is made twice, none that waited has an unknown outcome, and the limit holds, also at once after the
// restart.
func TestDeathAtEveryWriteOfRateLimitedRuns(t *testing.T) {
	for _, row := range []struct {
		rate     string
		burst    int
		interval time.Duration
	}{
		{"60/m", 1, time.Second},
		{"30/m", 3, 2 * time.Second},
		{"10/s", 1, 100 * time.Millisecond},
		{"10/s", 4, 100 * time.Millisecond},
	} {
		for _, after := range []bool{false, true} {
			deaths := 0
			for left, died := 1, true; died; left++ {
				name := fmt.Sprintf("%s with a burst of %d, death at write %d, after it %v", row.rate, row.burst, left, after)
				inTimeFrom(t, "2026-01-01T00:00:00Z", func(t *testing.T) {
					kv, x := mem.New(), &exchanges{}
					e := open(t, kv, Options{})
					mustLimit(t, e, "api.example.com", row.rate, row.burst)
					e.Kill()
					fan := Start{Module: "guest", Workflow: "fan", Input: input(t, map[string]any{"url": "https://api.example.com", "n": 3}), ID: "fan"}
					chain := Start{Module: "guest", Workflow: "chain", Input: fan.Input, ID: "chain"}
					dying := newMortal(kv, left, after)
					e, err := tryOpen(t, dying, Options{Kinds: x.kinds()})
					if err == nil {
						_, _, _ = e.Start(t.Context(), fan) // the server may be dead
						_, _, _ = e.Start(t.Context(), chain)
						for k := 0; k < 3000 && !dying.isDead(); k++ {
							time.Sleep(100 * time.Millisecond)
						}
						e.Kill()
					}
					if died = dying.isDead(); died {
						deaths++
					}
					for _, begin := range []Start{fan, chain} {
						e, r := settle(t, name, kv, Options{Kinds: x.kinds()}, begin, func(d flawless.Doubt) (string, bool) {
							return "ok", x.saw(begin.ID, d.Call)
						})
						if r.Status != flawless.Completed || x.count(begin.ID) != 3 {
							t.Errorf("%s: %d exchanges of %s, it is %+v %+v", name, x.count(begin.ID), begin.ID, r, r.Failure)
						}
						e.Kill()
					}
					if err := x.early(row.interval, row.burst); err != nil {
						t.Errorf("%s: %v", name, err)
					}
				})
			}
			if deaths < 8 {
				t.Errorf("%s: it died at %d writes only: the test proves nothing", row.rate, deaths)
			}
		}
	}
}
