package core

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
)

// trial is a run with one http call, number 1, whose first attempt began at its start.
type trial struct {
	*scenario
	op Terms
}

var day = Terms{Retry: 24 * time.Hour, RetryBy: "server"}

// honours are the terms of a host that honours keys for an hour.
var honours = Terms{Retry: 24 * time.Hour, RetryBy: "server", Within: time.Hour, KeyBy: "host a.example"}

// declared returns the terms of each call.
func (w *trial) declared(*OpenCall) Terms { return w.op }

func newTrial(t *testing.T, op Terms, head string) *trial {
	w := &trial{newScenario(t), op}
	w.now = int64(time.Hour)
	w.take(flawless.Entry{At: w.now, Turn: &flawless.Turn{N: 1, Time: w.now, Calls: []flawless.Call{{N: 1, Kind: effect.HTTP, Head: json.RawMessage(head)}}}})
	if c := w.s.open.all[1]; c == nil || c.invalid != nil {
		t.Fatalf("the call cannot be made: %+v", c)
	}
	return w
}

// ends ends the awaited attempt, a second later.
func (w *trial) ends(r effect.Result) flawless.Entry {
	w.t.Helper()
	w.now += int64(time.Second)
	out := w.s.Result(Attempt{1, w.s.open.all[1].attempt}, r, w.now, w.op)
	if len(out) != 1 {
		w.t.Fatalf("an attempt ends with %+v", out)
	}
	w.take(out...)
	return out[0]
}

// next advances to the next attempt and rechecks it; nil means that it may be performed.
func (w *trial) next() []flawless.Entry {
	w.t.Helper()
	if w.now = w.s.NextWake(); w.now == 0 {
		w.t.Fatal("there is no next attempt")
	}
	w.take(w.s.Fire(w.now)...)
	return w.recall()
}

// recall rechecks the attempt that has begun.
func (w *trial) recall() []flawless.Entry {
	out, _ := w.s.Recheck(Attempt{1, w.s.open.all[1].attempt}, w.now, w.op)
	w.take(out...)
	return out
}

// crash lets a new owner take over after a time.
func (w *trial) crash(after time.Duration) []flawless.Entry {
	w.now += int64(after)
	again := NewState("run", w.s.kinds)
	for _, e := range w.log {
		stepped(w.t, again, e)
	}
	w.s = again
	out := w.s.Recover(w.now, false, w.declared)
	w.take(out...)
	return out
}

var (
	notSent        = effect.Result{Outcome: effect.NotSent, Passes: true, Reason: "dial", Text: "not sent: connection refused", Answer: effect.ErrorAnswer(1, "not_sent", "not sent: connection refused")}
	connectionLost = effect.Result{Outcome: effect.Unknown, Passes: true, Text: "the connection broke", Answer: effect.ErrorAnswer(1, "interrupted", "the connection broke")}
)

func answer503(status int, after time.Duration) effect.Result {
	a, _ := effect.ResponseAnswer(1, status, []byte(`{}`))
	return effect.Result{Outcome: effect.Answered, Status: status, After: after, Text: fmt.Sprint(status), Answer: a}
}

const (
	aPost  = `{"method":"POST","url":"https://a.example/"}`
	aGet   = `{"url":"https://a.example/"}`
	aKeyed = `{"method":"POST","url":"https://a.example/","key_within_ms":3600000}`
)

// TestResultOfEachFailure checks each row of the table of failures in the guide.
func TestResultOfEachFailure(t *testing.T) {
	t.Parallel()
	const again, unknown, tells = "next", "unknown", "told"
	want := map[string]struct{ post, get, keyed string }{ // of the first attempt
		"name":      {again, again, again},
		"dial":      {again, again, again},
		"tls":       {again, again, again},
		"timeout":   {again, again, again},
		"policy":    {tells, tells, tells},
		"headers":   {tells, tells, tells},
		"invalid":   {tells, tells, tells},
		"too_large": {tells, tells, tells},
		"unknown":   {unknown, again, again},
	}
	all := effect.FailureModes()
	if len(all) != len(want) {
		t.Errorf("there are %d failures, and %d are known here", len(all), len(want))
	}
	for _, f := range all {
		r := effect.Result{Outcome: effect.NotSent, Reason: f.Name, Passes: f.Passes, Text: f.Text, Answer: effect.ErrorAnswer(1, "not_sent", f.Text)}
		switch f.Name {
		case "unknown":
			r.Outcome = effect.Unknown
		case "too_large":
			r.Outcome = effect.Answered
		}
		for head, want := range map[string]string{aPost: want[f.Name].post, aGet: want[f.Name].get, aKeyed: want[f.Name].keyed} {
			for _, op := range []Terms{day, {}} {
				e := newTrial(t, op, head).ends(r)
				got := tells
				switch {
				case e.Unknown != nil:
					got = unknown
				case e.Attempt != nil:
					got = again
				}
				expected := want
				if op.Retry == 0 && want == again { // the operator has the engine retry nothing
					if expected = tells; head == aKeyed && f.Sent {
						expected = unknown
					}
				}
				if got != expected {
					t.Errorf("%s of %s, retried for %v: %s, want %s", f.Name, head, op.Retry, got, expected)
				}
			}
		}
	}
}

// TestDefaultRetriesBackOffForADay: waits grow to five minutes, and retries end after a day with the last error.
func TestDefaultRetriesBackOffForADay(t *testing.T) {
	t.Parallel()
	w := newTrial(t, day, aPost)
	begun, attempts := w.now, 1
	var longest time.Duration
	e := w.ends(notSent)
	for ; e.Attempt != nil; e = w.ends(notSent) {
		if a := e.Attempt; a.Since != begun || a.Until != begun+int64(24*time.Hour) || a.Sent != 0 || a.Rule != "nothing was sent, retried for 24h (server)" || a.Failed.Reason != "dial" {
			t.Fatalf("attempt %d: %+v", a.N, a)
		}
		longest = max(longest, time.Duration(e.Attempt.Next-e.At))
		if out := w.next(); out != nil {
			t.Fatalf("an attempt is not performed: %+v", out)
		}
		if attempts++; attempts > 1000 {
			t.Fatal("it never ends")
		}
	}
	over := time.Duration(w.now - begun)
	if over < 24*time.Hour || over > 24*time.Hour+time.Minute || attempts < 280 || attempts > 400 || longest > 5*time.Minute || longest < 4*time.Minute {
		t.Errorf("%d attempts, the longest wait is %v, and it ends after %v", attempts, longest, over)
	}
	if a := e.Arrival; a == nil || !strings.Contains(string(a.Head), `"kind":"not_sent"`) || !strings.Contains(string(a.Head), "it was retried for 24h (server), since 1970-01-01T01:00:00Z") || !strings.Contains(string(a.Head), `"reason":"dial"`) {
		t.Errorf("it ends with %+v", e)
	}
}

// TestRetryTimePrecedence: the code's setting overrides the operator's, and a policy of the code has no default time
// limit.
func TestRetryTimePrecedence(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, head string
		op         Terms
		until      time.Duration // 0 is that it is not tried again, -1 without end
	}{
		{"the operator", aPost, Terms{Retry: time.Hour}, time.Hour},
		{"the code", `{"method":"POST","url":"https://a.example/","retry_for_ms":60000}`, day, time.Minute},
		{"the code does not want it", `{"method":"POST","url":"https://a.example/","retry_for_ms":0}`, day, 0},
		{"nobody wants it", aPost, Terms{}, 0},
		{"the code wants it, the operator does not", `{"method":"POST","url":"https://a.example/","retry_for_ms":60000}`, Terms{}, time.Minute},
		{"a policy", `{"method":"POST","url":"https://a.example/","retry":{"attempts":2}}`, Terms{}, -1},
		{"a policy of one attempt", `{"method":"POST","url":"https://a.example/","retry":{"attempts":1}}`, day, 0},
		{"a policy and a time", `{"method":"POST","url":"https://a.example/","retry":{"attempts":9},"retry_for_ms":5000}`, day, 5 * time.Second},
	} {
		w := newTrial(t, row.op, row.head)
		r := notSent
		r.Again = w.s.open.all[1].policy.Retry.Attempts > 1
		until, begun := time.Duration(0), w.now
		if e := w.ends(r); e.Attempt != nil && e.Attempt.Until == 0 {
			until = -1
		} else if e.Attempt != nil {
			until = time.Duration(e.Attempt.Until - begun)
		}
		if until != row.until {
			t.Errorf("%s: it is retried for %v, want %v", row.name, until, row.until)
		}
	}
}

// TestLongRetryAfterEndsRetries: a wait longer than the time left ends the retries; it is never shortened.
func TestLongRetryAfterEndsRetries(t *testing.T) {
	t.Parallel()
	const policy = `{"url":"https://a.example/","retry":{"attempts":5,"initial_ms":50,"statuses":[503]}}`
	const limited = `{"url":"https://a.example/","retry":{"attempts":5,"initial_ms":50,"statuses":[503]},"retry_for_ms":60000}`
	for _, row := range []struct {
		head  string
		after time.Duration
		waits time.Duration // 0 is that it is the answer
	}{
		{policy, 24 * time.Hour, 24 * time.Hour},
		{policy, 24*time.Hour + 1, 0},
		{policy, 1 << 31 * time.Second, 0},
		{policy, math.MaxInt64, 0},
		{limited, 30 * time.Second, 30 * time.Second},
		{limited, time.Minute, 0},
		{limited, math.MaxInt64, 0},
	} {
		w := newTrial(t, day, row.head)
		r := answer503(503, row.after)
		r.Again = true
		e := w.ends(r)
		switch {
		case row.waits == 0 && (e.Arrival == nil || !strings.Contains(string(e.Arrival.Head), `"status":503`) || !strings.Contains(e.Arrival.Note, "longer than the time left for retries")):
			t.Errorf("%v: %+v %+v", row.after, e.Arrival, e.Attempt)
		case row.waits != 0 && (e.Attempt == nil || time.Duration(e.Attempt.Next-e.At) != row.waits):
			t.Errorf("%v: %+v %+v", row.after, e.Arrival, e.Attempt)
		}
	}
}

// TestBackoffStaysInRange: no policy yields a wait that is not a number or is longer than a day.
func TestBackoffStaysInRange(t *testing.T) {
	t.Parallel()
	for _, initial := range []int64{0, 1, 86400000} {
		for _, factor := range []float64{1, 100} {
			w := newTrial(t, day, fmt.Sprintf(`{"url":"https://a.example/","retry":{"attempts":1000,"initial_ms":%d,"factor":%v,"max_ms":86400000,"jitter":1}}`, initial, factor))
			for n := 1; n <= 1000; n++ {
				w.s.open.all[1].attempt = n
				if d := w.s.backoff(w.s.open.all[1]); d < 0 || d > 24*time.Hour {
					t.Fatalf("from %d ms by %v, after attempt %d: %v", initial, factor, n, d)
				}
			}
		}
	}
}

// TestRetriesStayInsideKeyWindow: a request that may have taken effect is repeated under its key within the window,
// which starts with the first attempt that was sent, and never after it.
func TestRetriesStayInsideKeyWindow(t *testing.T) {
	t.Parallel()
	for _, head := range []string{aPost, aKeyed} {
		op := honours
		if head == aKeyed {
			op = day
		}
		t.Run("crash within", func(t *testing.T) {
			w := newTrial(t, op, head)
			if out := w.crash(59 * time.Minute); len(out) != 1 || out[0].Attempt == nil || !out[0].Attempt.Begun || !strings.Contains(out[0].Attempt.Result, "its idempotency key is honoured for 1h") {
				t.Fatalf("it is %+v", out)
			}
			if out, most := w.s.Recheck(Attempt{1, 2}, w.now, w.op); out != nil || most != time.Minute {
				t.Errorf("the attempt may take %v, and %+v", most, out)
			}
		})
		t.Run("crash for longer", func(t *testing.T) {
			w := newTrial(t, op, head)
			if out := w.crash(time.Hour); len(out) != 1 || out[0].Unknown == nil || !strings.Contains(out[0].Unknown.Reason, "which ended at 1970-01-01T02:00:00Z") {
				t.Errorf("it is %+v", out)
			}
		})
		t.Run("the clock went back", func(t *testing.T) {
			w := newTrial(t, op, head)
			if out := w.crash(-time.Minute); len(out) != 1 || out[0].Unknown == nil || !strings.Contains(out[0].Unknown.Reason, "the clock is before the time at which the call was sent") {
				t.Errorf("it is %+v", out)
			}
		})
		t.Run("an unsent attempt does not count", func(t *testing.T) {
			w := newTrial(t, op, head)
			w.ends(notSent)
			w.now += int64(2 * time.Hour)
			w.take(w.s.Fire(w.now)...)
			if out := w.recall(); out != nil {
				t.Fatalf("an attempt is not performed: %+v", out)
			}
			if out := w.crash(30 * time.Minute); len(out) != 1 || out[0].Attempt == nil {
				t.Errorf("it is %+v", out)
			}
		})
		t.Run("downtime while it waits", func(t *testing.T) {
			w := newTrial(t, op, head)
			if e := w.ends(connectionLost); e.Attempt == nil || e.Attempt.Sent == 0 {
				t.Fatalf("it is %+v", e)
			}
			if out := w.crash(time.Hour); out != nil {
				t.Fatalf("taking over: %+v", out)
			}
			w.take(w.s.Fire(w.now)...)
			if out := w.recall(); len(out) != 1 || out[0].Unknown == nil {
				t.Errorf("it is %+v", out)
			}
		})
		t.Run("until the window ends", func(t *testing.T) {
			w := newTrial(t, op, head)
			sent := w.now
			e := w.ends(connectionLost)
			for ; e.Attempt != nil; e = w.ends(connectionLost) {
				if e.Attempt.Sent != sent || e.Attempt.Next >= sent+int64(time.Hour) {
					t.Fatalf("it is %+v", e.Attempt)
				}
				if out := w.next(); out != nil {
					t.Fatalf("an attempt is not performed: %+v", out)
				}
			}
			// The last attempt begins half a minute before the end of the window, and ends a second later.
			if e.Unknown == nil || time.Duration(w.now-sent) != time.Hour-29*time.Second || !strings.Contains(e.Unknown.Reason, "too little of that is left for another attempt") {
				t.Errorf("after %v it is %+v", time.Duration(w.now-sent), e)
			}
		})
		t.Run("the server wants more time than is left", func(t *testing.T) {
			w := newTrial(t, op, head)
			w.ends(connectionLost)
			w.next()
			if e := w.ends(answer503(409, 2*time.Hour)); e.Unknown == nil || !strings.Contains(e.Unknown.Reason, "Retry-After is 2h") {
				t.Errorf("it is %+v", e)
			}
		})
	}
	t.Run("code that wants to be told", func(t *testing.T) {
		w := newTrial(t, honours, `{"method":"POST","url":"https://a.example/","on_unknown":"tell"}`)
		if out := w.crash(2 * time.Hour); len(out) != 1 || out[0].Arrival == nil || !strings.Contains(string(out[0].Arrival.Head), `"interrupted"`) {
			t.Errorf("it is %+v", out)
		}
	})
	t.Run("no longer honoured", func(t *testing.T) {
		w := newTrial(t, honours, aPost)
		w.ends(connectionLost)
		w.op = day
		if out := w.next(); len(out) != 1 || out[0].Unknown == nil || !strings.Contains(out[0].Unknown.Reason, "no longer declared") {
			t.Errorf("it is %+v", out)
		}
	})
}

// TestKeyWindowPrecedence: the code's setting overrides the operator's, and a request without a key has no window.
func TestKeyWindowPrecedence(t *testing.T) {
	t.Parallel()
	for head, again := range map[string]bool{
		aPost: true,
		`{"method":"POST","url":"https://a.example/","idempotent":false}`:                                                    false,
		`{"method":"POST","url":"https://a.example/","headers":[["Idempotency-Key",""]]}`:                                    false,
		`{"method":"POST","url":"https://a.example/","headers":[["idempotency-key","own"]]}`:                                 true,
		`{"method":"PUT","url":"https://a.example/","idempotent":false}`:                                                     false,
		`{"method":"POST","url":"https://a.example/","idempotent":false,"key_within_ms":3600000}`:                            true,
		`{"method":"POST","url":"https://a.example/","retry":{"attempts":1}}`:                                                false,
		`{"method":"POST","url":"https://a.example/","retry":{"attempts":3}}`:                                                true,
		`{"method":"POST","url":"https://a.example/","retry":{"attempts":3},"key_within_ms":500}`:                            false,
		`{"method":"POST","url":"https://a.example/","retry":{"attempts":3},"retry_for_ms":100,"headers":[["X-Two","one"]]}`: false,
	} {
		if e := newTrial(t, honours, head).ends(connectionLost); (e.Attempt != nil) != again || !again && e.Unknown == nil {
			t.Errorf("%s: %+v, %+v", head, e.Attempt, e.Unknown)
		}
	}
}

// TestRepetitionMayLeaveTheOutcomeUnknown: the status of a repetition is not always the outcome of the call.
func TestRepetitionMayLeaveTheOutcomeUnknown(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, head, first, second string
		op                        Terms
		r                         effect.Result
	}{
		{"still in progress", aKeyed, "1 409", "1 next", day, answer503(409, 0)},
		{"a different request", aKeyed, "1 422", "1 unknown", day, answer503(422, 0)},
		{"turned away for now", aKeyed, "1 429", "1 next", day, answer503(429, 0)},
		{"turned away by a gateway", aPost, "1 503", "1 next", honours, answer503(503, 0)},
		{"turned away with a token that has expired", aKeyed, "1 401", "1 next", day, answer503(401, 0)},
		{"turned away, and no retries", aKeyed, "1 429", "1 unknown", Terms{}, answer503(429, 0)},
		{"turned away by a gateway without a backend", aKeyed, "1 404", "1 next", day, answer503(404, 0)},
		{"turned away by a gateway that knows no such method", aKeyed, "1 405", "1 next", day, answer503(405, 0)},
		{"turned away by a proxy", aKeyed, "1 407", "1 next", day, answer503(407, 0)},
		{"sent to another server by mistake", aKeyed, "1 421", "1 next", day, answer503(421, 0)},
		{"to be sent elsewhere", aKeyed, "1 307", "1 next", day, answer503(307, 0)},
		{"the storage of the host is full", aKeyed, "1 507", "1 next", day, answer503(507, 0)},
		{"above a quota of bandwidth", aKeyed, "1 509", "1 next", day, answer503(509, 0)},
		{"a gateway cannot reach its backend", aKeyed, "1 521", "1 next", day, answer503(521, 0)},
		{"a gateway got no answer in time", aKeyed, "1 524", "1 next", day, answer503(524, 0)},
		{"the host is overloaded", aKeyed, "1 529", "1 next", day, answer503(529, 0)},
		{"a gateway cannot find its backend", aKeyed, "1 530", "1 next", day, answer503(530, 0)},
		{"carried out, and the result is elsewhere", aKeyed, "1 303", "1 303", day, answer503(303, 0)},
		{"declined", aKeyed, "1 402", "1 402", day, answer503(402, 0)},
		{"a failure that may be the stored one", aKeyed, "1 500", "1 500", day, answer503(500, 0)},
		{"a missing key", aKeyed, "1 400", "1 400", day, answer503(400, 0)},
		{"in progress, as the operator says", aPost, "1 409", "1 next", honours, answer503(409, 0)},
		{"the host is asked to wait for longer than the window", aKeyed, "1 409", "1 unknown", day, answer503(409, 2*time.Hour)},
		{"no key needed", `{"method":"PUT","url":"https://a.example/"}`, "1 409", "1 409", honours, answer503(409, 0)},
		{"idempotent as the code says", `{"method":"POST","url":"https://a.example/","idempotent":true}`, "1 422", "1 422", honours, answer503(422, 0)},
		{"not sent", aKeyed, "1 not_sent dial", "1 next", day, notSent},
		{"not sent, and no retries", aKeyed, "1 not_sent dial", "1 unknown", Terms{}, notSent},
		{"not sent, idempotent and no retries", aGet, "1 not_sent dial", "1 unknown", Terms{}, notSent},
	} {
		if first := describe(newTrial(t, Terms{Within: row.op.Within}, row.head).ends(row.r)); len(first) != 1 || first[0] != row.first && row.first != "1 not_sent dial" {
			t.Errorf("%s: the first attempt says %q, want %q", row.name, first, row.first)
		}
		w := newTrial(t, row.op, row.head)
		if out := w.crash(time.Minute); len(out) != 1 || out[0].Attempt == nil {
			t.Fatalf("%s: it is not repeated: %+v", row.name, out)
		}
		if second := describe(w.ends(row.r)); len(second) != 1 || second[0] != row.second {
			t.Errorf("%s: a repetition says %q, want %q", row.name, second, row.second)
		}
	}
}

// TestKeyWindowStartsWhenTheServerIsReached: an attempt that was answered has reached it too, so the server has known
// the key since then.
func TestKeyWindowStartsWhenTheServerIsReached(t *testing.T) {
	t.Parallel()
	const head = `{"method":"POST","url":"https://a.example/","key_within_ms":4000,"retry":{"attempts":6,"initial_ms":3000,"factor":1,"statuses":[503]}}`
	w := newTrial(t, day, head)
	busy := answer503(503, 0)
	busy.Again = true
	if e := w.ends(busy); e.Attempt == nil || e.Attempt.Reached == 0 || e.Attempt.Sent != e.Attempt.Reached || !e.Attempt.Mild {
		t.Fatalf("an answered attempt is repeated: %+v", e.Attempt)
	}
	w.next()
	if got := describe(w.ends(connectionLost)); len(got) != 1 || got[0] != "1 unknown" {
		t.Errorf("three of four seconds are over, and the next attempt would be three seconds later: %q", got)
	}
	w = newTrial(t, day, head)
	unsent := notSent
	unsent.Again = true
	w.ends(unsent)
	w.next()
	if got := describe(w.ends(connectionLost)); len(got) != 1 || got[0] != "1 next" {
		t.Errorf("the first attempt was not sent, so the server does not know the key: %q", got)
	}
}

// TestSuspectCallIsNotWithdrawn: a key makes a call repeatable but not idempotent. Code that got its context's error
// would make the call again under another key.
func TestSuspectCallIsNotWithdrawn(t *testing.T) {
	t.Parallel()
	withdraw := flawless.Call{N: 2, Kind: effect.Withdraw, Head: json.RawMessage(`{"call":1,"why":"deadline"}`)}
	turn := func(w *trial, t flawless.Turn) []string {
		t.N, t.Time = w.s.turns+1, w.now
		return w.take(flawless.Entry{At: w.now, Turn: &t})
	}
	for _, op := range []Terms{honours} {
		w := newTrial(t, op, aPost)
		w.ends(connectionLost)
		if got := turn(w, flawless.Turn{Calls: []flawless.Call{withdraw}}); got != nil {
			t.Fatalf("it is withdrawn while it waits: %q", got)
		}
		if out := w.next(); out != nil {
			t.Fatalf("the next attempt is not performed: %+v", out)
		}
		if e := w.ends(connectionLost); e.Attempt == nil {
			t.Fatalf("it is not retried: %+v", e)
		}
		w.next()
		if e := w.ends(answer503(200, 0)); e.Arrival == nil || !strings.Contains(string(e.Arrival.Head), `"status":200`) {
			t.Errorf("it ends with %+v", e)
		}

		w = newTrial(t, op, aPost)
		w.ends(notSent)
		if got := turn(w, flawless.Turn{Calls: []flawless.Call{withdraw}}); len(got) != 1 || got[0] != "1 withdrawn not_begun" {
			t.Errorf("what was never sent is %q", got)
		}

		for _, ended := range []*flawless.Ended{{Output: []byte("1")}, {Failure: &flawless.Failure{Kind: "error"}}} {
			w = newTrial(t, op, aPost)
			w.ends(connectionLost)
			if got := turn(w, flawless.Turn{Ended: ended}); len(got) != 1 || got[0] != "1 unknown" {
				t.Errorf("when its run has ended it is %q", got)
			}
			if w.s.NextWake() != 0 {
				t.Error("it is retried after the end of its run")
			}
		}
		w = newTrial(t, op, aPost)
		w.ends(connectionLost)
		if got := w.take(flawless.Entry{At: w.now, End: Terminated(flawless.Cancel{})}); len(got) != 1 || got[0] != "1 unknown" {
			t.Errorf("when its run was terminated it is %q", got)
		}
	}
}

// TestDecideRetry: a person hurries a call or gives it up, and gets an error if that makes no sense.
func TestDecideRetry(t *testing.T) {
	t.Parallel()
	const tell = `{"method":"POST","url":"https://a.example/","on_unknown":"tell"}`
	status := answer503(503, 0)
	status.Again = true
	for _, row := range []struct {
		name, head string
		r          effect.Result
		op         Terms
		given      string // the answer when it is given up
	}{
		{"not sent", aPost, notSent, day, "1 not_sent dial"},
		{"idempotent", aGet, connectionLost, day, "1 unknown"},
		{"a status", `{"url":"https://a.example/","retry":{"attempts":9,"statuses":[503]}}`, status, day, "1 given_up"},
		{"under a key", aPost, connectionLost, honours, "1 unknown"},
		{"under a key, told", tell, connectionLost, honours, "1 interrupted"},
	} {
		w := newTrial(t, row.op, row.head)
		if _, err := w.s.DecideRetry(RetryDecision{}, w.now, w.declared); !errors.Is(err, flawless.Conflict) {
			t.Errorf("%s: before it has failed: %v", row.name, err)
		}
		w.ends(row.r)
		for _, u := range []RetryDecision{{}, {Call: 1}} {
			again := &trial{&scenario{t: w.t, s: w.s, now: w.now, log: slices.Clone(w.log)}, w.op}
			again.crash(0)
			got, err := again.s.DecideRetry(u, w.now, w.declared)
			if err != nil || len(got) != 1 || got[0].Decision == nil {
				t.Fatalf("%s: hurried: %+v, %v", row.name, got, err)
			}
			again.take(got...)
			again.take(again.s.Fire(again.now)...)
			if c := again.s.open.all[1]; c.attempt != 2 || c.nextAt != 0 {
				t.Errorf("%s: it is hurried, and still waits: %+v", row.name, c)
			}
		}
		for _, wrong := range []int{2, -1} {
			if _, err := w.s.DecideRetry(RetryDecision{Call: wrong}, w.now, w.declared); !errors.Is(err, flawless.Conflict) {
				t.Errorf("%s: another call: %v", row.name, err)
			}
		}
		got, err := w.s.DecideRetry(RetryDecision{GiveUp: true, Who: "ann", Note: "enough"}, w.now, w.declared)
		if err != nil || len(got) != 2 || got[0].Decision.Resolution != flawless.GiveUp || got[0].Decision.Who != "ann" || got[0].Decision.Note != "enough" {
			t.Fatalf("%s: given up: %+v, %v", row.name, got, err)
		}
		if got := w.take(got...); len(got) != 1 || got[0] != row.given {
			t.Errorf("%s: after giving up it is %q, want %q", row.name, got, row.given)
		}
		if w.s.NextWake() != 0 || w.s.Retrying() != nil {
			t.Errorf("%s: given up, it is still retrying", row.name)
		}
	}
}

// TestHurriedAttemptsDoNotLengthenBackoff: waits do not depend on how often a person hurries a call. They start again
// after a decision that the call did not happen. An image keeps this.
func TestHurriedAttemptsDoNotLengthenBackoff(t *testing.T) {
	t.Parallel()
	const head = `{"url":"https://a.example/","retry":{"attempts":50,"initial_ms":1000,"factor":2,"max_ms":3600000}}`
	failed := notSent
	failed.Again = true
	w := newTrial(t, day, head)
	waits := func(want time.Duration) { // less the random part
		t.Helper()
		w.ends(failed)
		again := NewState("run", w.s.kinds)
		if err := again.Restore(w.s.Snapshot()); err != nil {
			t.Fatal(err)
		}
		w.s = again
		if got := time.Duration(w.s.NextWake() - w.now); got > want || got < want*3/4 {
			t.Errorf("it waits %v, want %v", got, want)
		}
	}
	for _, want := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second} {
		waits(want)
		w.next()
	}
	for range 5 {
		waits(8 * time.Second)
		for range 2 { // once is enough
			got, err := w.s.DecideRetry(RetryDecision{}, w.now, w.declared)
			if err != nil {
				t.Fatal(err)
			}
			w.take(got...)
		}
		w.take(w.s.Fire(w.now)...)
	}
	w.take(flawless.Entry{At: w.now, Unknown: &flawless.Unknown{Call: 1, Reason: "nobody knows"}},
		flawless.Entry{At: w.now, Decision: &flawless.Decision{Call: 1, Resolution: flawless.Retry}})
	waits(time.Second)
}

// TestInvalidCallNamesItsClassOnce: the kind of the answer is "invalid", so its text does not say so again.
func TestInvalidCallNamesItsClassOnce(t *testing.T) {
	t.Parallel()
	w := newScenario(t)
	w.take(flawless.Entry{At: 2, Turn: &flawless.Turn{N: 1, Time: 2, Calls: []flawless.Call{
		{N: 1, Kind: effect.HTTP, Head: json.RawMessage(`{"url":"https://a.example/","retry":{"attempts":2,"factor":1000}}`)}}}})
	want := `{"error":{"kind":"invalid","message":"parsing a call of kind http: member \"retry.factor\" is 1000, give 1 to 100"}}`
	if got := w.log[len(w.log)-1].Arrival; got == nil || string(got.Head) != want {
		t.Errorf("got %s, want %s", got.Head, want)
	}
}
