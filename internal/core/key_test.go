package core

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
)

// keyScenario is a run whose calls go to a host that honours keys for an hour.
type keyScenario struct {
	*scenario
	op       Terms
	lastCall int // the call that was made last
}

var keyHeads = map[string]string{
	"post":     `{"method":"POST","url":"https://a.example/"}`,
	"tell":     `{"method":"POST","url":"https://a.example/","on_unknown":"tell","retry":{"attempts":1}}`,
	"asks":     `{"method":"POST","url":"https://a.example/","on_unknown":"tell"}`,
	"again":    `{"method":"POST","url":"https://a.example/","on_unknown":"tell","headers":[["Idempotency-Key","run-1"]]}`,
	"own":      `{"method":"POST","url":"https://a.example/","headers":[["Idempotency-Key","order-7"]]}`,
	"other":    `{"method":"POST","url":"https://a.example/mail","headers":[["Idempotency-Key","order-7"]]}`,
	"policy":   `{"method":"POST","url":"https://a.example/","retry":{"attempts":9,"initial_ms":60000,"statuses":[409,429,502,503,504]}}`,
	"own-tell": `{"method":"POST","url":"https://a.example/","headers":[["Idempotency-Key","order-7"]],"on_unknown":"tell"}`,
	"twice":    `{"method":"POST","url":"https://a.example/","retry":{"attempts":2,"initial_ms":60000,"statuses":[409,429,502,503,504]}}`,
	"patient":  `{"method":"POST","url":"https://a.example/","retry":{"attempts":9,"initial_ms":7200000,"statuses":[409,429,502,503,504]}}`,
}

func (w *keyScenario) declared(*OpenCall) Terms { return w.op }

func newKeyScenario(t *testing.T) *keyScenario {
	w := &keyScenario{newScenario(t), honours, 0}
	w.now = int64(time.Hour)
	return w
}

// do takes one step and returns what follows. The code makes a call; its attempt ends with a status or without one; the
// next attempt is due; the server is down for a while; a person decides that the call did not happen.
func (w *keyScenario) do(step string) string {
	w.t.Helper()
	word, rest, _ := strings.Cut(step, " ")
	span, _ := time.ParseDuration(rest)
	if n, is := strings.CutPrefix(word, "of-"); is { // of a call that was not made last
		made := w.lastCall
		w.lastCall, _ = strconv.Atoi(n)
		defer func() { w.lastCall = made }()
		return w.do(rest)
	}
	switch c := w.s.open.all[w.lastCall]; word {
	case "ignored": // nobody declares the key as honoured
		w.op = day
		return ""
	case "honoured":
		w.op = honours
		return ""
	case "wait":
		w.now += int64(span)
		return ""
	case "down":
		w.now += int64(span)
		w.rebuild(false)
		out := w.take(w.s.Recover(w.now, false, w.declared)...)
		out = append(out, w.take(w.s.Fire(w.now)...)...)
		return w.perform(out)
	case "copied": // the store is a copy of another one, and somebody resumes the run
		w.take(flawless.Entry{At: w.now, Pause: &flawless.Pause{Hold: true}})
		out := w.take(w.s.Recover(w.now, false, w.declared)...)
		w.take(flawless.Entry{At: w.now, Pause: &flawless.Pause{Resume: true}})
		return strings.Join(out, ", ")
	case "forked": // the run is a fork of one that made the call
		return strings.Join(w.take(w.s.UnknownEntry(w.lastCall, "another run made it", w.op)), ", ")
	case "next":
		if w.now = w.s.NextWake(); w.now == 0 {
			return "no next attempt"
		}
		return w.perform(w.take(w.s.Fire(w.now)...))
	case "deadline":
		w.lastCall++
		w.take(flawless.Entry{At: w.now, Turn: &flawless.Turn{N: w.s.turns + 1, Time: w.now, Calls: []flawless.Call{{N: w.lastCall, Kind: effect.Withdraw, Head: json.RawMessage(fmt.Sprintf(`{"call":%d,"why":"deadline"}`, w.lastCall-1))}}}})
		w.lastCall--
		if w.s.open.all[w.lastCall] == nil {
			return "withdrawn"
		}
		return ""
	case "end":
		return strings.Join(w.take(flawless.Entry{At: w.now, Turn: &flawless.Turn{N: w.s.turns + 1, Time: w.now, Ended: &flawless.Ended{Output: []byte("1")}}}), ", ")
	case "resolve":
		return w.perform(w.take(flawless.Entry{At: w.now, Decision: &flawless.Decision{Call: w.lastCall, Resolution: flawless.Retry}}))
	case "give-up":
		out, err := w.s.DecideRetry(RetryDecision{GiveUp: true}, w.now, w.declared)
		if err != nil {
			w.t.Fatal(err)
		}
		return strings.Join(w.take(out...), ", ")
	case "told":
		out, err := w.s.Decide(flawless.Decision{Call: w.lastCall, Resolution: flawless.Tell, Text: "it did not happen"}, w.now)
		if err != nil {
			w.t.Fatal(err)
		}
		return strings.Join(w.take(out...), ", ")
	case "lost", "unsent":
		r := connectionLost
		if word == "unsent" {
			r = notSent
		}
		r.Again = c.attempt < c.policy.Retry.Attempts
		return w.finish(r)
	default:
		if head := keyHeads[word]; head != "" {
			w.lastCall = w.s.callsMade + 1
			return w.perform(w.take(flawless.Entry{At: w.now, Turn: &flawless.Turn{N: w.s.turns + 1, Time: w.now, Answers: w.undelivered(),
				Calls: []flawless.Call{{N: w.lastCall, Kind: effect.HTTP, Head: json.RawMessage(head)}}}}))
		}
		status, err := strconv.Atoi(word)
		if err != nil {
			return "no such step"
		}
		r := answer503(status, span)
		r.Again = c.attempt < c.policy.Retry.Attempts && c.policy.Retry.Attempts > 1 && status != 200 && status != 422
		return w.finish(r)
	}
}

// undelivered returns the calls whose answers the code gets next.
func (w *keyScenario) undelivered() (calls []int) {
	for _, a := range w.s.ready {
		calls = append(calls, a.Call)
	}
	return calls
}

// finish ends the attempt at the last call, a second later.
func (w *keyScenario) finish(r effect.Result) string {
	w.now += int64(time.Second)
	return strings.Join(w.take(w.s.Result(Attempt{w.lastCall, w.s.open.all[w.lastCall].attempt}, r, w.now, w.op)...), ", ")
}

// perform rechecks an attempt that has begun.
func (w *keyScenario) perform(got []string) string {
	if len(got) > 0 && strings.HasPrefix(got[len(got)-1], "begin ") {
		out, _ := w.s.Recheck(Attempt{w.lastCall, w.s.open.all[w.lastCall].attempt}, w.now, w.op)
		if len(out) == 0 {
			return "begins"
		}
		return strings.Join(w.take(out...), ", ")
	}
	return strings.Join(got, ", ")
}

// rebuild restores the state from an image or from the log.
func (w *keyScenario) rebuild(image bool) {
	again := NewState("run", w.s.kinds)
	if image {
		if err := again.Restore(w.s.Snapshot()); err != nil {
			w.t.Fatal(err)
		}
	} else {
		for _, e := range w.log {
			again.Step(e)
		}
	}
	w.s = again
}

// TestRepetitionsInheritKeyHistory: a key's window starts with the first attempt that the server knows of. It continues
// no matter who repeats the request: the code's policy, code that makes the call again under the same key, or a person.
// Each step is followed by a colon and its result.
func TestRepetitionsInheritKeyHistory(t *testing.T) {
	t.Parallel()
	for name, steps := range map[string]string{
		"a status is an answer without a policy":                      "post:begins; 504:1 504",
		"a policy retries a status within the window":                 "policy:begins; 504:1 next; next:begins; 200:1 200",
		"a policy does not retry a status after the window":           "policy:begins; 504:1 next; down 2h:1 unknown",
		"a Retry-After beyond the window ends retries":                "policy:begins; 504 2h:1 unknown",
		"a long backoff ends half a minute before the window":         "patient:begins; 504:1 next; next:begins; 504:1 unknown",
		"a conclusive status is the answer":                           "policy:begins; 429 2h:1 429",
		"a conclusive status is given up after a restart":             "policy:begins; 429:1 next; down 2h:1 given_up",
		"an earlier inconclusive status leaves it unknown":            "policy:begins; 504:1 next; next:begins; 429 2h:1 unknown",
		"a later 429 does not hide an earlier 504":                    "twice:begins; 504:1 next; next:begins; 429:1 unknown",
		"a refused connection does not hide an earlier 504":           "twice:begins; 504:1 next; next:begins; unsent:1 unknown",
		"a later inconclusive status is the answer":                   "twice:begins; 504:1 next; next:begins; 503:1 503",
		"an inconclusive status does not hide a lost attempt":         "policy:begins; lost:1 next; next:begins; 503:1 next; down 2h:1 unknown",
		"a deadline does not withdraw after a 504":                    "policy:begins; 504:1 next; deadline:; next:begins; 200:1 200",
		"a deadline withdraws after a 429":                            "policy:begins; 429:1 next; deadline:withdrawn",
		"confirmation: the host is busy":                              "tell:begins; lost:1 interrupted; again:begins; 409:2 next; next:begins; 200:2 200",
		"confirmation: a gateway says 503":                            "tell:begins; lost:1 interrupted; again:begins; 503:2 next",
		"confirmation: the key is known":                              "tell:begins; lost:1 interrupted; again:begins; 422:2 interrupted",
		"confirmation: the window continues":                          "tell:begins; lost:1 interrupted; wait 59m58s; again:begins; lost:2 interrupted",
		"confirmation: the window continues over a restart":           "tell:begins; lost:1 interrupted; wait 59m; again:begins; down 2m:2 interrupted",
		"confirmation: a new window begins after the end":             "tell:begins; lost:1 interrupted; wait 1h; again:begins; lost:2 next",
		"confirmation: the new window counts from there":              "tell:begins; lost:1 interrupted; wait 1h; again:begins; lost:2 next; down 1h:2 interrupted; again:begins; lost:3 next",
		"confirmation: the host may still be busy after the end":      "tell:begins; lost:1 interrupted; wait 1h; again:begins; 409:2 next",
		"library: the host is busy after a 504":                       "own:begins; 504:1 504; own:begins; 409:2 next",
		"library: an early rejection is not the answer":               "own:begins; 504:1 504; own:begins; 429:2 next",
		"library: another 503 is the answer":                          "own:begins; 504:1 504; own:begins; 503:2 503",
		"library: the window continues after a 503":                   "own:begins; 503:1 503; wait 59m58s; own:begins; lost:2 unknown",
		"library: the window continues after a 200":                   "own:begins; 200:1 200; wait 59m58s; own:begins; lost:2 unknown",
		"library: a declined request may be corrected":                "own:begins; 402:1 402; own:begins; 422:2 422",
		"another URL under the same key is independent":               "own:begins; 504:1 504; other:begins; 409:2 409",
		"an unsent attempt leaves no history":                         "own:begins; unsent:1 next; next:begins; 409:1 409",
		"decision to retry: the host is busy":                         "post:begins; lost:1 next; next:begins; 422:1 unknown; resolve:begins; 409:1 next",
		"decision to retry: a gateway says 503":                       "post:begins; lost:1 next; next:begins; 422:1 unknown; resolve:begins; 503:1 next",
		"decision to retry: the key is known":                         "post:begins; lost:1 next; next:begins; 422:1 unknown; resolve:begins; 422:1 unknown",
		"decision to retry: the window continues":                     "post:begins; lost:1 next; next:begins; 422:1 unknown; wait 59m56s; resolve:begins; lost:1 unknown",
		"decision to retry: a new window begins after the end":        "post:begins; lost:1 next; down 2h:1 unknown; resolve:begins; lost:1 next",
		"decision to retry: the host may still be busy after the end": "post:begins; lost:1 next; down 2h:1 unknown; resolve:begins; 409:1 next; next:begins; 200:1 200",
		"decision to retry: a second one continues the new window":    "post:begins; lost:1 next; down 2h:1 unknown; resolve:begins; lost:1 next; down 1h:1 unknown; resolve:begins; down 59m:begins",
		"a key that is declared as honoured later":                    "ignored:; policy:begins; 504:1 next; honoured:; down 2h:1 unknown",
		"giving up after a 504 returns it":                            "policy:begins; 504:1 next; give-up:1 given_up",
		"the end of the run returns a 504":                            "policy:begins; 504:1 next; end:1 given_up",
		"the end of the run does not hide a 504 before a 429":         "policy:begins; 504:1 next; next:begins; 429:1 next; end:1 unknown",
		"giving up does not hide a 504 before a 429":                  "policy:begins; 504:1 next; next:begins; 429:1 next; give-up:1 unknown",
		"a key that is no longer declared as honoured":                "policy:begins; 504:1 next; ignored:; next:1 unknown",
		"a status without a key is retried forever":                   "ignored:; policy:begins; 504:1 next; down 2h:begins; 429:1 next; deadline:withdrawn",
		"decision to return an error: the host is busy":               "own:begins; lost:1 next; next:begins; 422:1 unknown; told:1 told; own:begins; 409:2 next",
		"decision to return an error: the window continues":           "own:begins; lost:1 next; next:begins; 422:1 unknown; told:1 told; wait 59m56s; own:begins; lost:2 unknown",
		"decision to return an error: a new window of a repetition":   "own:begins; 504:1 504; wait 59m; own:begins; down 2h:2 unknown; told:2 told; own:begins; lost:3 next",
		"decision to return an error: the window of a repetition":     "own:begins; 504:1 504; wait 59m50s; own:begins; 422:2 unknown; told:2 told; own:begins; 503:3 next; down 30s:3 unknown",
		"a copy of the store keeps the window":                        "tell:begins; lost:1 interrupted; wait 59m; again:begins; copied:2 interrupted; wait 58s; again:begins; lost:3 interrupted",
		"after the window: the key is known":                          "tell:begins; lost:1 interrupted; wait 1h; again:begins; 422:2 interrupted",
		"after the window: an early rejection":                        "tell:begins; lost:1 interrupted; wait 1h; again:begins; 429:2 next; down 30m:begins; 404:2 next",
		"after the window: a 504 stays suspect":                       "own:begins; 504:1 504; wait 1h; own:begins; 409:2 next; next:begins; 200:2 200",
		"after the window: a 504 and then a 422":                      "own:begins; 504:1 504; wait 1h; own:begins; 422:2 unknown",
		"after the window: another inconclusive status":               "own:begins; 504:1 504; wait 1h; own:begins; 502:2 502",
		"after the window: a declined request is not suspect":         "own:begins; 402:1 402; wait 1h; own:begins; 409:2 409",
		"two calls at once: the host is busy":                         "own:begins; own:begins; 409:2 next; next:begins; 200:2 200",
		"two calls at once: an early rejection":                       "own:begins; own:begins; 503:2 next; next:begins; 200:2 200",
		"two calls at once: the window starts with the first":         "own:begins; wait 59m59s; own:begins; lost:2 unknown",
		"two calls at once: their window is a new one":                "own:begins; lost:1 next; next:begins; 422:1 unknown; wait 2h; of-1 resolve:begins; wait 59m59s; own:begins; lost:2 unknown",
		"two calls at once: the first is retried":                     "own:begins; unsent:1 next; own:begins; 409:2 next",
		"two calls at once: the first was not sent":                   "own:begins; unsent:1 next; wait 2h; own:begins; 409:2 next",
		"two calls at once: the window starts with the earliest":      "own:begins; unsent:1 next; own:begins; wait 59m59s; own:begins; lost:3 unknown",
		"two calls at once: a third knows of the second":              "own:begins; own:begins; of-1 429:1 429; own:begins; 409:3 next",
		"two calls at once: a call after both is alone":               "own:begins; own:begins; of-1 402:1 402; 402:2 402; own:begins; 409:3 409",
		"two calls at once: different URLs are independent":           "own:begins; other:begins; 409:2 409",
		"given up: a later call has the same window":                  "own-tell:begins; lost:1 next; wait 30m; give-up:1 interrupted; wait 20m; own-tell:begins; 429:2 next; give-up:2 interrupted; own:begins; lost:3 next; down 15m:3 unknown",
		"given up: a decision to retry has the same window":           "own-tell:begins; lost:1 next; give-up:1 interrupted; wait 30m; own:begins; lost:2 next; give-up:2 unknown; resolve:begins; lost:2 next; down 35m:2 unknown",
		"forked: a decision to retry has the same window":             "own-tell:begins; lost:1 next; give-up:1 interrupted; wait 30m; own:begins; forked:2 unknown; resolve:begins; lost:2 next; down 35m:2 unknown",
		"a decision to retry has a time limit":                        "post:begins; lost:1 next; next:begins; 422:1 unknown; resolve:begins; unsent:1 next; down 2h:1 unknown",
	} {
		for _, way := range []string{"as it is", "from its log", "from an image"} {
			w := newKeyScenario(t)
			for _, step := range strings.Split(steps, "; ") {
				step, want, _ := strings.Cut(step, ":")
				if way != "as it is" {
					w.rebuild(way == "from an image")
				}
				if got := w.do(step); got != want {
					t.Errorf("%s, %s: after %q it is %q, want %q", name, way, step, got, want)
					break
				}
			}
		}
	}
}

// TestNoAttemptBeginsAfterItsKeyWindow ends attempts at random, with downtime between them.
func TestNoAttemptBeginsAfterItsKeyWindow(t *testing.T) {
	t.Parallel()
	const seed = 7
	random := rand.New(rand.NewPCG(seed, seed))
	ends := []string{"lost", "unsent", "409", "429", "503", "504", "504 10m", "429 10m"}
	late := 0
	for n := range 2000 {
		w := newKeyScenario(t)
		known, got := int64(0), w.do([]string{"post", "policy", "patient"}[n%3])
		for range 20 {
			if got == "begins" {
				if known != 0 && w.now >= known+int64(time.Hour) {
					t.Fatalf("scenario %d: an attempt begins %v after the key was sent: %+v", n, time.Duration(w.now-known), w.log)
				}
				begun, end := w.now, ends[random.IntN(len(ends))]
				if got = w.do(end); known == 0 && end != "unsent" {
					known = begun
				}
			}
			if got != "1 next" {
				break
			}
			if random.IntN(4) == 0 {
				if got = w.do(fmt.Sprintf("down %dm", random.IntN(90))); got == "" {
					got = w.do("next")
				}
			} else {
				got = w.do("next")
			}
			if got != "begins" {
				late++
			}
		}
	}
	if late == 0 {
		t.Error("no attempt came too late")
	}
}

// TestKeyHistoriesAreBounded: the newest keys are kept.
func TestKeyHistoriesAreBounded(t *testing.T) {
	t.Parallel()
	w := newKeyScenario(t)
	for n := range maxKeyHistories + 10 {
		head := fmt.Sprintf(`{"method":"POST","url":"https://a.example/","headers":[["Idempotency-Key","key-%d"]]}`, n)
		w.now += int64(time.Second)
		w.take(flawless.Entry{At: w.now, Turn: &flawless.Turn{N: n + 1, Time: w.now, Calls: []flawless.Call{{N: n + 1, Kind: effect.HTTP, Head: json.RawMessage(head)}}}})
		w.take(w.s.Result(Attempt{n + 1, 1}, answer503(503, 0), w.now, w.op)...)
	}
	newest := w.now
	kept := false
	for _, h := range w.s.keyHistories {
		kept = kept || h.ReachedAt == newest
	}
	if len(w.s.keyHistories) != maxKeyHistories || !kept {
		t.Errorf("%d keys are remembered, the newest: %v", len(w.s.keyHistories), kept)
	}
}

// TestKeyHistoryIsKeptWhileKeyIsNotHonoured: the operator declares a key as honoured only after attempts were lost. The
// window still starts with the first of them.
func TestKeyHistoryIsKeptWhileKeyIsNotHonoured(t *testing.T) {
	t.Parallel()
	w := newTrial(t, day, aPost)
	begun := w.now
	again := func() {
		entries, err := w.s.Decide(flawless.Decision{Call: 1, Resolution: flawless.Retry}, w.now)
		if err != nil {
			t.Fatal(err)
		}
		w.take(entries...)
	}
	w.ends(connectionLost)
	again()
	w.ends(connectionLost)
	w.op = honours
	again()
	e := w.ends(connectionLost)
	if e.Attempt == nil || e.Attempt.Until == 0 || e.Attempt.Until > begun+int64(time.Hour) {
		t.Errorf("it is retried until %+v, and the key has been known since %d for an hour", e.Attempt, begun)
	}
}

// TestInterruptedSaysUntilWhenToRepeat: code that finds out by itself that the call did not happen has the same time as
// the engine.
func TestInterruptedSaysUntilWhenToRepeat(t *testing.T) {
	t.Parallel()
	const tell = `{"method":"POST","url":"https://a.example/","on_unknown":"tell"%s}`
	lost := func(w *trial) flawless.Entry { return w.ends(connectionLost) }
	down := func(w *trial) flawless.Entry { return w.crash(2 * time.Hour)[0] }
	for _, row := range []struct {
		name  string
		op    Terms
		more  string
		ends  func(*trial) flawless.Entry
		until time.Duration // from the first attempt
	}{
		{"as the operator says", day, "", lost, 24 * time.Hour},
		{"as the code says", day, `,"retry_for_ms":60000`, lost, time.Minute},
		{"no retries", day, `,"retry_for_ms":0`, lost, 0},
		{"a policy of its own", honours, `,"retry":{"attempts":1}`, lost, time.Hour},
		{"a key that lasts shorter", honours, "", down, time.Hour},
		{"a key that lasts longer", honours, `,"retry_for_ms":60000,"key_within_ms":7200000`, down, time.Minute},
		{"a server that was down", day, "", down, 24 * time.Hour},
	} {
		w := newTrial(t, row.op, fmt.Sprintf(tell, row.more))
		begun := w.now
		e := row.ends(w)
		var head struct {
			Error struct {
				Kind  string
				Until int64 `json:"repeat_until"`
			}
		}
		if e.Arrival == nil || json.Unmarshal(e.Arrival.Head, &head) != nil || head.Error.Kind != "interrupted" || head.Error.Until != begun+int64(row.until) {
			t.Errorf("%s: it is %+v, want %v from %d", row.name, e, row.until, begun)
		}
	}
}

// TestInterruptedSaysThatServerWasWorking: a 409 to a repetition stays the server's last word until a response says
// more, whatever became of the attempts after it. Code that confirms the call must not send it again then.
func TestInterruptedSaysThatServerWasWorking(t *testing.T) {
	t.Parallel()
	const busy = "asks:begins; lost:1 next; next:begins; 409:1 next; "
	for name, row := range map[string]struct {
		steps  string
		status int
	}{
		"the next attempt comes too late":         {busy + "down 2h:1 interrupted", 409},
		"the next attempt is lost in a crash":     {busy + "next:begins; down 2h:1 interrupted", 409},
		"the next attempt is not sent":            {busy + "next:begins; unsent:1 next; down 2h:1 interrupted", 409},
		"the next attempt is cut short":           {busy + "next:begins; lost:1 next; down 2h:1 interrupted", 409},
		"the last attempt in time is cut short":   {busy + "down 59m54s:begins; lost:1 interrupted", 409},
		"a gateway answers the next attempt":      {busy + "next:begins; 503:1 next; down 2h:1 interrupted", 409},
		"the key is no longer honoured":           {busy + "ignored:; next:1 interrupted", 409},
		"a crash, and a repetition is cut short":  {busy + "down 30m:begins; lost:1 next; down 2h:1 interrupted", 409},
		"the server knows another request":        {busy + "next:begins; 422:1 interrupted", 422},
		"there was no 409":                        {"asks:begins; lost:1 next; down 2h:1 interrupted", 0},
		"a 409 to the first request":              {"own-tell:begins; 409:1 409; own-tell:begins; lost:2 next; down 2h:2 interrupted", 0},
		"a later call under its key":              {busy + "down 2h:1 interrupted; again:begins; lost:2 next; down 2h:2 interrupted", 409},
		"a later call under a key of the code":    {"own-tell:begins; lost:1 next; next:begins; 409:1 next; down 2h:1 interrupted; own-tell:begins; lost:2 next; down 2h:2 interrupted", 409},
		"a call beside it":                        {"own-tell:begins; lost:1 next; next:begins; 409:1 next; own-tell:begins; lost:2 next; down 2h:2 interrupted", 409},
		"the call is given up":                    {busy + "give-up:1 interrupted", 409},
		"the store is copied":                     {busy + "next:begins; copied:1 interrupted", 409},
		"a later call while it is open":           {"own-tell:begins; own:begins; 409:2 next; of-1 lost:1 next; of-1 down 2h:1 interrupted", 409},
		"a call beside it gets the response":      {"own-tell:begins; lost:1 next; next:begins; 409:1 next; own-tell:begins; 200:2 200; other:begins; of-1 down 2h:1 interrupted", 0},
		"a later call that gets another response": {"own-tell:begins; lost:1 next; next:begins; 409:1 next; down 2h:1 interrupted; own-tell:begins; 200:2 200; own-tell:begins; lost:3 next; down 2h:3 interrupted", 0},
	} {
		for _, way := range []string{"as it is", "from its log", "from an image"} {
			w := newKeyScenario(t)
			for _, step := range strings.Split(row.steps, "; ") {
				step, want, _ := strings.Cut(step, ":")
				if way != "as it is" {
					w.rebuild(way == "from an image")
				}
				if got := w.do(step); got != want {
					t.Fatalf("%s, %s: after %q it is %q, want %q", name, way, step, got, want)
				}
			}
			var last *flawless.Arrival
			for _, e := range w.log {
				last = cmp.Or(e.Arrival, last)
			}
			said := effect.ParseHTTPAnswer(last.Answer)
			if !said.Unsure || said.Status != row.status || (row.status == 409) != strings.Contains(last.Note, "409: it was still working") {
				t.Errorf("%s, %s: the answer is %s, noted as %q, want status %d", name, way, last.Head, last.Note, row.status)
			}
		}
	}
}
