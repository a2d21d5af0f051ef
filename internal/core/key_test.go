package core

import (
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

// keyTale is a run whose calls go to a host that honours keys for an hour.
type keyScenario struct {
	*scenario
	op       Terms
	lastCall int // the call that was made last
}

var keyHeads = map[string]string{
	"post":    `{"method":"POST","url":"https://a.example/"}`,
	"tell":    `{"method":"POST","url":"https://a.example/","on_unknown":"tell","retry":{"attempts":1}}`,
	"again":   `{"method":"POST","url":"https://a.example/","on_unknown":"tell","headers":[["Idempotency-Key","run-1"]]}`,
	"own":     `{"method":"POST","url":"https://a.example/","headers":[["Idempotency-Key","order-7"]]}`,
	"other":   `{"method":"POST","url":"https://a.example/mail","headers":[["Idempotency-Key","order-7"]]}`,
	"policy":  `{"method":"POST","url":"https://a.example/","retry":{"attempts":9,"initial_ms":60000,"statuses":[409,429,502,503,504]}}`,
	"twice":   `{"method":"POST","url":"https://a.example/","retry":{"attempts":2,"initial_ms":60000,"statuses":[409,429,502,503,504]}}`,
	"patient": `{"method":"POST","url":"https://a.example/","retry":{"attempts":9,"initial_ms":7200000,"statuses":[409,429,502,503,504]}}`,
}

func newKeyScenario(t *testing.T) *keyScenario {
	w := &keyScenario{newScenario(t), honours, 0}
	w.now = int64(time.Hour)
	return w
}

// does takes one step and returns what comes of it: a call is made, its try ends with a status or without one, the
// time of the next try comes, the server is down for a time, a person says that the call did not happen.
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
	case "unknown":
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
		out := w.take(w.s.Recover(w.now, func(*OpenCall) Terms { return w.op })...)
		out = append(out, w.take(w.s.Fire(w.now)...)...)
		return w.perform(out)
	case "copied": // the store is a copy of another one, and somebody resumes the run
		w.take(flawless.Entry{At: w.now, Pause: &flawless.Pause{Hold: true}})
		out := w.take(w.s.Recover(w.now, func(*OpenCall) Terms { return w.op })...)
		w.take(flawless.Entry{At: w.now, Pause: &flawless.Pause{Resume: true}})
		return strings.Join(out, ", ")
	case "next":
		if w.now = w.s.NextWake(); w.now == 0 {
			return "no next try"
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
		out, err := w.s.DecideRetry(RetryDecision{GiveUp: true}, w.now)
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

// heard are the calls whose answers the code gets next.
func (w *keyScenario) undelivered() (calls []int) {
	for _, a := range w.s.ready {
		calls = append(calls, a.Call)
	}
	return calls
}

// ends has the try of the last call end, a second later.
func (w *keyScenario) finish(r effect.Result) string {
	w.now += int64(time.Second)
	return strings.Join(w.take(w.s.Result(Try{w.lastCall, w.s.open.all[w.lastCall].attempt}, r, w.now, w.op)...), ", ")
}

// performs asks of the try that has begun whether it may be performed.
func (w *keyScenario) perform(said []string) string {
	if len(said) > 0 && strings.HasPrefix(said[len(said)-1], "begin ") {
		out, _ := w.s.Recheck(Try{w.lastCall, w.s.open.all[w.lastCall].attempt}, w.now, w.op)
		if len(out) == 0 {
			return "begins"
		}
		return strings.Join(w.take(out...), ", ")
	}
	return strings.Join(said, ", ")
}

// remade has the state made again, from an image or from the log.
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

// TestARepetitionCarriesThePastOfItsKey: a window begins with the first try that the server knows of, and a
// repetition is one, whoever repeats: the policy of the code, code that makes the call anew under the same key,
// or a person. Each step has what it leads to behind a colon.
func TestARepetitionCarriesThePastOfItsKey(t *testing.T) {
	t.Parallel()
	for name, steps := range map[string]string{
		"a plain status is an answer":                       "post:begins; 504:1 504",
		"a status is retried within the window":             "policy:begins; 504:1 next; next:begins; 200:1 200",
		"not after it":                                      "policy:begins; 504:1 next; down 2h:1 doubt",
		"nor where the wait is longer":                      "policy:begins; 504 2h:1 doubt",
		"a long wait ends half a minute before":             "patient:begins; 504:1 next; next:begins; 504:1 doubt",
		"a status that says that nothing happened is told":  "policy:begins; 429 2h:1 429",
		"also after a restart":                              "policy:begins; 429:1 next; down 2h:1 given_up",
		"unless one before it did not say so":               "policy:begins; 504:1 next; next:begins; 429 2h:1 doubt",
		"a later status does not hide an earlier one":       "twice:begins; 504:1 next; next:begins; 429:1 doubt",
		"nor does a failure to connect":                     "twice:begins; 504:1 next; next:begins; unsent:1 doubt",
		"one that says no more is the answer":               "twice:begins; 504:1 next; next:begins; 503:1 503",
		"but not after a lost try":                          "policy:begins; lost:1 next; next:begins; 503:1 next; down 2h:1 doubt",
		"code is not told that a 504 did not happen":        "policy:begins; 504:1 next; deadline:; next:begins; 200:1 200",
		"it is told so after a 429":                         "policy:begins; 429:1 next; deadline:withdrawn",
		"a confirmation finds nothing, the host is busy":    "tell:begins; lost:1 interrupted; again:begins; 409:2 next; next:begins; 200:2 200",
		"a confirmation finds nothing, a gateway says 503":  "tell:begins; lost:1 interrupted; again:begins; 503:2 next",
		"a confirmation finds nothing, another request":     "tell:begins; lost:1 interrupted; again:begins; 422:2 interrupted",
		"the window goes on":                                "tell:begins; lost:1 interrupted; wait 59m58s; again:begins; lost:2 interrupted",
		"also over a restart":                               "tell:begins; lost:1 interrupted; wait 59m; again:begins; down 2m:2 interrupted",
		"it begins anew when it is over":                    "tell:begins; lost:1 interrupted; wait 1h; again:begins; lost:2 next",
		"and then counts from there":                        "tell:begins; lost:1 interrupted; wait 1h; again:begins; lost:2 next; down 1h:2 interrupted; again:begins; lost:3 next",
		"and the host may still contradict":                 "tell:begins; lost:1 interrupted; wait 1h; again:begins; 409:2 next",
		"a library repeats what a gateway has answered":     "own:begins; 504:1 504; own:begins; 409:2 next",
		"and is not told that a repetition was turned away": "own:begins; 504:1 504; own:begins; 429:2 next",
		"but another 503 is its own to judge":               "own:begins; 504:1 504; own:begins; 503:2 503",
		"the window of a library goes on":                   "own:begins; 503:1 503; wait 59m58s; own:begins; lost:2 doubt",
		"also where the first one was carried out":          "own:begins; 200:1 200; wait 59m58s; own:begins; lost:2 doubt",
		"what was declined may be corrected":                "own:begins; 402:1 402; own:begins; 422:2 422",
		"another request under the same key is another one": "own:begins; 504:1 504; other:begins; 409:2 409",
		"what was not sent has no past":                     "own:begins; unsent:1 next; next:begins; 409:1 409",
		"a person says that it did not happen, it is busy":  "post:begins; lost:1 next; next:begins; 422:1 doubt; resolve:begins; 409:1 next",
		"a person says so, and a gateway 503":               "post:begins; lost:1 next; next:begins; 422:1 doubt; resolve:begins; 503:1 next",
		"a person says so, and another request is known":    "post:begins; lost:1 next; next:begins; 422:1 doubt; resolve:begins; 422:1 doubt",
		"a person's word does not lengthen the window":      "post:begins; lost:1 next; next:begins; 422:1 doubt; wait 59m56s; resolve:begins; lost:1 doubt",
		"a person's word counts when the window is over":    "post:begins; lost:1 next; down 2h:1 doubt; resolve:begins; lost:1 next",
		"and may be contradicted":                           "post:begins; lost:1 next; down 2h:1 doubt; resolve:begins; 409:1 next; next:begins; 200:1 200",
		"a second word counts from the window of the first": "post:begins; lost:1 next; down 2h:1 doubt; resolve:begins; lost:1 next; down 1h:1 doubt; resolve:begins; down 59m:begins",
		"a key that is honoured only later":                 "unknown:; policy:begins; 504:1 next; honoured:; down 2h:1 doubt",
		"a 504 that is given up is told":                    "policy:begins; 504:1 next; give-up:1 given_up",
		"also when its run ends":                            "policy:begins; 504:1 next; end:1 given_up",
		"but a run that ends does not hide a 504":           "policy:begins; 504:1 next; next:begins; 429:1 next; end:1 doubt",
		"but not a 429 behind it":                           "policy:begins; 504:1 next; next:begins; 429:1 next; give-up:1 doubt",
		"a host that is not said to honour keys any more":   "policy:begins; 504:1 next; unknown:; next:1 doubt",
		"a status is retried for ever without a key":        "unknown:; policy:begins; 504:1 next; down 2h:begins; 429:1 next; deadline:withdrawn",
		"a person tells the code, which calls again":        "own:begins; lost:1 next; next:begins; 422:1 doubt; told:1 told; own:begins; 409:2 next",
		"and the window goes on":                            "own:begins; lost:1 next; next:begins; 422:1 doubt; told:1 told; wait 59m56s; own:begins; lost:2 doubt",
		"also where it was a repetition":                    "own:begins; 504:1 504; wait 59m; own:begins; down 2h:2 doubt; told:2 told; own:begins; lost:3 next",
		"and not yet where its own window goes on":          "own:begins; 504:1 504; wait 59m50s; own:begins; 422:2 doubt; told:2 told; own:begins; 503:3 next; down 30s:3 doubt",
		"a copy of the store knows the window, too":         "tell:begins; lost:1 interrupted; wait 59m; again:begins; copied:2 interrupted; wait 58s; again:begins; lost:3 interrupted",
		"a later call may find another request, too":        "tell:begins; lost:1 interrupted; wait 1h; again:begins; 422:2 interrupted",
		"or be turned away":                                 "tell:begins; lost:1 interrupted; wait 1h; again:begins; 429:2 next; down 30m:begins; 404:2 next",
		"a 504 may take effect after the window as well":    "own:begins; 504:1 504; wait 1h; own:begins; 409:2 next; next:begins; 200:2 200",
		"and be contradicted, and not told from another":    "own:begins; 504:1 504; wait 1h; own:begins; 422:2 doubt",
		"or be followed by one that says no more":           "own:begins; 504:1 504; wait 1h; own:begins; 502:2 502",
		"what was declined is declined after it":            "own:begins; 402:1 402; wait 1h; own:begins; 409:2 409",
		"two calls at a time, and the host is busy":         "own:begins; own:begins; 409:2 next; next:begins; 200:2 200",
		"and a gateway turns the second one away":           "own:begins; own:begins; 503:2 next; next:begins; 200:2 200",
		"the window counts from the first of two":           "own:begins; wait 59m59s; own:begins; lost:2 doubt",
		"also where theirs is a new one":                    "own:begins; lost:1 next; next:begins; 422:1 doubt; wait 2h; of-1 resolve:begins; wait 59m59s; own:begins; lost:2 doubt",
		"the first of two was not sent, and is tried again": "own:begins; unsent:1 next; own:begins; 409:2 next",
		"a third one knows of the second":                   "own:begins; own:begins; of-1 429:1 429; own:begins; 409:3 next",
		"one that follows both is alone":                    "own:begins; own:begins; of-1 402:1 402; 402:2 402; own:begins; 409:3 409",
		"two requests under one key are two":                "own:begins; other:begins; 409:2 409",
		"what a person had sent again is not sent for ever": "post:begins; lost:1 next; next:begins; 422:1 doubt; resolve:begins; unsent:1 next; down 2h:1 doubt",
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

// TestNoTryBeginsAfterTheWindowOfItsKey lets tries end at random, and the server be down between them.
func TestNoTryBeginsAfterTheWindowOfItsKey(t *testing.T) {
	t.Parallel()
	const seed = 7
	random := rand.New(rand.NewPCG(seed, seed))
	ends := []string{"lost", "unsent", "409", "429", "503", "504", "504 10m", "429 10m"}
	late := 0
	for n := range 2000 {
		w := newKeyScenario(t)
		known, said := int64(0), w.do([]string{"post", "policy", "patient"}[n%3])
		for range 20 {
			if said == "begins" {
				if known != 0 && w.now >= known+int64(time.Hour) {
					t.Fatalf("tale %d: a try begins %v after the key was told: %+v", n, time.Duration(w.now-known), w.log)
				}
				begun, end := w.now, ends[random.IntN(len(ends))]
				if said = w.do(end); known == 0 && end != "unsent" {
					known = begun
				}
			}
			if said != "1 next" {
				break
			}
			if random.IntN(4) == 0 {
				if said = w.do(fmt.Sprintf("down %dm", random.IntN(90))); said == "" {
					said = w.do("next")
				}
			} else {
				said = w.do("next")
			}
			if said != "begins" {
				late++
			}
		}
	}
	if late == 0 {
		t.Error("no try came too late")
	}
}

// TestTheKeysOfARunAreFew: what is remembered of keys has a limit, and the newest are kept.
func TestTheKeysOfARunAreFew(t *testing.T) {
	t.Parallel()
	w := newKeyScenario(t)
	for n := range maxKeyHistories + 10 {
		head := fmt.Sprintf(`{"method":"POST","url":"https://a.example/","headers":[["Idempotency-Key","key-%d"]]}`, n)
		w.now += int64(time.Second)
		w.take(flawless.Entry{At: w.now, Turn: &flawless.Turn{N: n + 1, Time: w.now, Calls: []flawless.Call{{N: n + 1, Kind: effect.HTTP, Head: json.RawMessage(head)}}}})
		w.take(w.s.Result(Try{n + 1, 1}, answer503(503, 0), w.now, w.op)...)
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

// TestThePastOfAKeyOutlivesSilence: nobody says that the key is honoured while its tries are lost, and the operator does
// so later. The time still counts from the first of them.
func TestThePastOfAKeyOutlivesSilence(t *testing.T) {
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
		t.Errorf("it is tried until %+v, and the key is known since %d for an hour", e.Attempt, begun)
	}
}

// TestCodeIsToldUntilWhenACallMayBeRepeated: code that finds out by itself that the call did not happen has the time that
// the engine would have.
func TestCodeIsToldUntilWhenACallMayBeRepeated(t *testing.T) {
	t.Parallel()
	const tell = `{"method":"POST","url":"https://a.example/","on_unknown":"tell"%s}`
	lost := func(w *trial) flawless.Entry { return w.ends(connectionLost) }
	down := func(w *trial) flawless.Entry { return w.crash(2 * time.Hour)[0] }
	for _, row := range []struct {
		name  string
		op    Terms
		more  string
		ends  func(*trial) flawless.Entry
		until time.Duration // from the first try
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
