package core

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
)

// TestWhatBecomesOfAWithdrawnCall has a row for each rule of docs/guide/timeouts.md, "Time-outs and
// what happens to a call". A tale is "step -> what follows; step -> what follows". It is told once more
// with the state written to an image and read again after every step.
func TestWhatBecomesOfAWithdrawnCall(t *testing.T) {
	t.Parallel()
	for name, told := range map[string]string{
		"just made":                             "turn: post, withdraw 1 deadline -> 1 withdrawn not_begun",
		"just made, idempotent and in a saga":   "turn: put, withdraw 1 cancelled settle -> 1 withdrawn not_begun",
		"one of three just made":                "turn: post, put, post, withdraw 2 dropped -> begin 1.1, begin 3.1, 2 withdrawn not_begun",
		"waits for a place":                     "turn: post -> begin 1.1; waits: 1 -> 1 waits; turn: withdraw 1 deadline -> 1 withdrawn not_begun",
		"waits for a retry":                     "turn: post retry -> begin 1.1; busy: 1 -> 1 next; turn: withdraw 1 cancelled -> 1 withdrawn not_begun",
		"waits for a retry, in a saga":          "turn: put retry -> begin 1.1; no outcome: 1 -> 1 next; turn: withdraw 1 cancelled settle -> 1 withdrawn abandoned",
		"not sent after a try that was":         "turn: put retry -> begin 1.1; no outcome: 1 -> 1 next; time -> 1 begun, begin 1.2; turn: return ->; not sent: 1 -> 1 unknown",
		"not sent after a crash cut a try off":  "turn: put retry -> begin 1.1; crash -> 1 begun, begin 1.2; turn: return ->; not sent: 1 -> 1 unknown",
		"not sent twice after a try that was":   "turn: put retry -> begin 1.1; no outcome: 1 -> 1 next; time -> 1 begun, begin 1.2; not sent: 1 -> 1 next; crash ->; time -> 1 begun, begin 1.3; turn: return ->; not sent: 1 -> 1 unknown",
		"a try that was sent, the run fails":    "turn: put retry -> begin 1.1; no outcome: 1 -> 1 next; turn: fail -> 1 withdrawn abandoned",
		"a try that was sent, in a copy":        "turn: put -> begin 1.1; hold ->; crash -> 1 next; resume ->; late: 60 -> 1 begun, begin 1.2; turn: return ->; not sent: 1 -> 1 unknown",
		"no such call":                          "turn: withdraw 1 deadline -> 1 invalid",
		"answered already":                      "turn: post -> begin 1.1; answered: 1 -> 1 200; turn: withdraw 1 deadline ->",
		"answered and not delivered":            "turn: post, post -> begin 1.1, begin 2.1; answered: 1 -> 1 200; turn: withdraw 1 deadline, withdraw 2 deadline ->",
		"withdrawn twice":                       "turn: put -> begin 1.1; turn: withdraw 1 deadline, withdraw 1 cancelled -> 1 withdrawn abandoned",
		"idempotent and under way":              "turn: put -> begin 1.1; turn: withdraw 1 deadline -> 1 withdrawn abandoned",
		"idempotent, its second try under way":  "turn: put retry -> begin 1.1; busy: 1 -> 1 next; time -> 1 begun, begin 1.2; turn: withdraw 1 dropped -> 1 withdrawn abandoned",
		"a saga waits for an idempotent one":    "turn: put retry -> begin 1.1; turn: withdraw 1 cancelled settle ->; answered: 1 -> 1 200",
		"a saga waits, and there is no answer":  "turn: put retry -> begin 1.1; turn: withdraw 1 cancelled settle ->; no outcome: 1 -> 1 withdrawn abandoned",
		"a saga waits, and a known 503 is one":  "turn: put retry -> begin 1.1; turn: withdraw 1 cancelled settle ->; busy: 1 -> 1 503",
		"a saga waits, and the server dies":     "turn: put -> begin 1.1; turn: withdraw 1 cancelled settle ->; crash -> 1 begun, begin 1.2; no outcome: 1 -> 1 withdrawn abandoned",
		"not idempotent":                        "turn: post -> begin 1.1; turn: withdraw 1 deadline ->; answered: 1 -> 1 200",
		"not idempotent, a known 503 is final":  "turn: post retry -> begin 1.1; turn: withdraw 1 deadline ->; busy: 1 -> 1 503",
		"not idempotent, not sent is final":     "turn: post retry -> begin 1.1; turn: withdraw 1 cancelled ->; not sent: 1 -> 1 not_sent",
		"not idempotent, no outcome":            "turn: post -> begin 1.1; turn: withdraw 1 deadline ->; no outcome: 1 -> 1 doubt",
		"not idempotent, told of it":            "turn: tell -> begin 1.1; turn: withdraw 1 deadline ->; no outcome: 1 -> 1 interrupted",
		"not idempotent, and the server dies":   "turn: post -> begin 1.1; turn: withdraw 1 deadline ->; crash -> 1 doubt; decide: 1 retry -> begin 1.2; answered: 1 -> 1 200",
		"a person's retry has its own time":     "turn: post -> begin 1.1; crash -> 1 doubt; decide: 1 retry -> begin 1.2; turn: withdraw 1 deadline ->; answered: 1 -> 1 200",
		"a person's retry without an outcome":   "turn: post -> begin 1.1; crash -> 1 doubt; decide: 1 retry -> begin 1.2; turn: withdraw 1 deadline ->; no outcome: 1 -> 1 doubt",
		"a person's retry waits for a place":    "turn: post -> begin 1.1; crash -> 1 doubt; decide: 1 retry -> begin 1.2; waits: 1 -> 1 waits; turn: withdraw 1 deadline ->; place: 1 -> 1 begun, begin 1.2; answered: 1 -> 1 200",
		"a restart's try has its own time":      "turn: put -> begin 1.1; crash -> 1 begun, begin 1.2; turn: withdraw 1 deadline ->; answered: 1 -> 1 200",
		"a restart's try without an outcome":    "turn: put retry -> begin 1.1; crash -> 1 begun, begin 1.2; turn: withdraw 1 deadline ->; no outcome: 1 -> 1 withdrawn abandoned",
		"a restart's try, and another restart":  "turn: put -> begin 1.1; crash -> 1 begun, begin 1.2; turn: withdraw 1 deadline ->; crash -> 1 begun, begin 1.3; answered: 1 -> 1 200",
		"a restart's try waits for a place":     "turn: put -> begin 1.1; crash -> 1 begun, begin 1.2; waits: 1 -> 1 waits; turn: withdraw 1 deadline ->; crash ->; place: 1 -> 1 begun, begin 1.2; answered: 1 -> 1 200",
		"a restart's try, and a cancellation":   "turn: put -> begin 1.1; crash -> 1 begun, begin 1.2; turn: withdraw 1 cancelled -> 1 withdrawn abandoned",
		"the try after a restart's":             "turn: put retry -> begin 1.1; crash -> 1 begun, begin 1.2; busy: 1 -> 1 next; time -> 1 begun, begin 1.3; turn: withdraw 1 deadline -> 1 withdrawn abandoned",
		"a copy's try has its own time":         "turn: put -> begin 1.1; hold ->; crash -> 1 next; late: 60 ->; resume ->; turn: withdraw 1 deadline ->; late: 61 -> 1 begun, begin 1.2; answered: 1 -> 1 200",
		"a copy's try waits for a place":        "turn: put -> begin 1.1; hold ->; crash -> 1 next; resume ->; late: 60 -> 1 begun, begin 1.2; waits: 1 -> 1 waits; turn: withdraw 1 deadline ->; place: 1 -> 1 begun, begin 1.2; answered: 1 -> 1 200",
		"a copy of a try that waits, anew":      "turn: put -> begin 1.1; crash -> 1 begun, begin 1.2; waits: 1 -> 1 waits; hold ->; crash -> 1 next; resume ->; turn: withdraw 1 deadline ->; late: 60 -> 1 begun, begin 1.2; answered: 1 -> 1 200",
		"a copy of a try that waits":            "turn: put -> begin 1.1; waits: 1 -> 1 waits; hold ->; crash -> 1 next; resume ->; turn: withdraw 1 deadline -> 1 withdrawn not_begun",
		"a copy's try, and a cancellation":      "turn: put -> begin 1.1; hold ->; crash -> 1 next; resume ->; turn: withdraw 1 cancelled -> 1 withdrawn abandoned",
		"a copy's try, and the run returns":     "turn: put -> begin 1.1; hold ->; crash -> 1 next; resume ->; turn: return ->; late: 60 -> 1 begun, begin 1.2; answered: 1 -> 1 200",
		"a copy's try, and the next one":        "turn: put retry -> begin 1.1; hold ->; crash -> 1 next; resume ->; late: 60 -> 1 begun, begin 1.2; busy: 1 -> 1 next; turn: withdraw 1 deadline -> 1 withdrawn abandoned",
		"a person's retry in a copy":            "turn: post -> begin 1.1; hold ->; crash -> 1 doubt; decide: 1 retry ->; late: 60 ->; crash ->; resume ->; late: 61 -> 1 begun, begin 1.2; turn: withdraw 1 deadline ->; answered: 1 -> 1 200",
		"a person's retry in a copy, overdue":   "turn: post, wake 5 -> begin 1.1; hold ->; crash -> 1 doubt; decide: 1 retry ->; resume ->; late: 60 ->; turn: withdraw 1 deadline ->; late: 61 -> 1 begun, begin 1.2",
		"a crash between":                       "turn: post retry -> begin 1.1; busy: 1 -> 1 next; crash ->; turn: withdraw 1 deadline -> 1 withdrawn not_begun; crash ->",
		"the run returns":                       "turn: post, return -> begin 1.1",
		"the run fails":                         "turn: post, put, fail -> 1 withdrawn not_begun, 2 withdrawn not_begun",
		"the run fails, calls under way":        "turn: post, put -> begin 1.1, begin 2.1; turn: fail ->; answered: 1 -> 1 200; no outcome: 2 -> 2 unknown",
		"the run returns, waits for a place":    "turn: post -> begin 1.1; waits: 1 -> 1 waits; turn: return ->; place: 1 -> 1 begun, begin 1.1; busy: 1 -> 1 503",
		"the run returns, in back-off":          "turn: post retry -> begin 1.1; busy: 1 -> 1 next; turn: return -> 1 withdrawn not_begun",
		"the run returns, a retry waits":        "turn: post retry -> begin 1.1; busy: 1 -> 1 next; time -> 1 begun, begin 1.2; waits: 1 -> 1 waits; turn: return -> 1 withdrawn not_begun",
		"the run returned, 503 is final":        "turn: post retry -> begin 1.1; turn: return ->; busy: 1 -> 1 503",
		"the run was cancelled, in back-off":    "turn: post retry -> begin 1.1; busy: 1 -> 1 next; cancel ->; turn: cancelled -> 1 withdrawn not_begun",
		"the run was cancelled, in a queue":     "turn: post -> begin 1.1; waits: 1 -> 1 waits; cancel ->; turn: cancelled -> 1 withdrawn not_begun",
		"the run was terminated":                "turn: post, put retry, post -> begin 1.1, begin 2.1, begin 3.1; busy: 2 -> 2 next; waits: 3 -> 3 waits; terminate -> 2 withdrawn not_begun, 3 withdrawn not_begun; answered: 1 -> 1 200",
		"the server dies after the end":         "turn: put, post, tell -> begin 1.1, begin 2.1, begin 3.1; turn: return ->; crash -> 1 unknown, 2 doubt, 3 interrupted",
		"the server dies after a termination":   "turn: put, post -> begin 1.1, begin 2.1; terminate ->; crash -> 1 unknown, 2 doubt; decide: 2 retry -> conflict",
		"a person's retry after a return":       "turn: post -> begin 1.1; turn: return ->; crash -> 1 doubt; decide: 1 retry -> begin 1.2; busy: 1 -> 1 503",
		"a queue after a return, called off":    "turn: post -> begin 1.1; waits: 1 -> 1 waits; turn: return ->; call off -> 1 withdrawn not_begun; call off ->",
		"a queue after a return, and a restart": "turn: post -> begin 1.1; waits: 1 -> 1 waits; turn: return ->; crash ->; place: 1 -> 1 begun, begin 1.1",
	} {
		for _, frozen := range []bool{false, true} {
			w := newTale(t)
			for i, part := range strings.Split(told, "; ") {
				step, want, ok := strings.Cut(part, "->")
				if !ok {
					t.Fatalf("%s: %q does not say what follows", name, part)
				}
				got := strings.Join(w.does(strings.TrimSpace(step)), ", ")
				if got != strings.TrimSpace(want) {
					t.Errorf("%s, frozen %v: step %d, %s: got %q, want %q", name, frozen, i+1, step, got, strings.TrimSpace(want))
					break
				}
				if frozen && w.s.status == "" {
					kept := w.s.Snapshot()
					w.s = NewState("run", w.s.kinds)
					if err := w.s.Restore(kept); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
	}
}

// witness watches what is told of calls, and knows the rules in another form than the state.
type witness struct {
	idempotent, under, anew, unknown, over map[int]bool // by call
	why                                    map[int]string
	status                                 flawless.Status
}

func newWitness() *witness {
	m := func() map[int]bool { return map[int]bool{} }
	return &witness{idempotent: m(), under: m(), anew: m(), unknown: m(), over: m(), why: map[int]string{}}
}

// hears takes in what follows from a step, and says what is wrong with it.
func (w *witness) hears(step string, told []string) error {
	for _, what := range told {
		var n, try int
		if _, err := fmt.Sscanf(what, "begin %d.%d", &n, &try); err == nil {
			switch {
			case w.over[n]:
				return fmt.Errorf("call %d begins after it was answered", n)
			case w.under[n]:
				return fmt.Errorf("call %d begins twice at a time", n)
			case w.unknown[n] && !w.idempotent[n]:
				return fmt.Errorf("call %d begins again while nobody knows whether it took effect", n)
			case w.why[n] != "" && !w.anew[n]:
				return fmt.Errorf("call %d begins after it was withdrawn", n)
			case w.status != "" && w.status != flawless.Completed:
				return fmt.Errorf("call %d begins after the run was %s", n, w.status)
			}
			w.under[n], w.unknown[n] = true, false
			continue
		}
		if _, err := fmt.Sscan(what, &n); err != nil {
			continue // a decision that was refused
		}
		_, what, _ = strings.Cut(what, " ")
		switch what, _, _ := strings.Cut(what, " "); what {
		case "next":
			w.under[n], w.anew[n] = false, false
		case "waits":
			w.under[n] = false
		case "begun":
		case "doubt":
			w.under[n], w.unknown[n] = false, true
		case "withdrawn":
			ended := strings.HasPrefix(step, "no outcome") || strings.HasPrefix(step, "not sent")
			switch {
			case w.under[n] && !w.idempotent[n]:
				return fmt.Errorf("call %d may take effect, and the code is told that it was withdrawn", n)
			case w.under[n] && w.anew[n] && w.why[n] == effect.WhyDeadline && !ended:
				return fmt.Errorf("call %d was begun anew and had no time", n)
			}
			fallthrough
		default:
			if w.over[n] {
				return fmt.Errorf("call %d is answered twice", n)
			}
			w.over[n], w.under[n] = true, false
		}
	}
	return nil
}

// TestWithdrawnCallsInAnyOrder tells tales at random: calls, withdrawals, outcomes, places, crashes and
// decisions in any order, against a witness. After each crash the log makes the state that there was.
func TestWithdrawnCallsInAnyOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		w, sees := newTale(t), newWitness()
		var tale []string
		does := func(step string) {
			tale = append(tale, step)
			told := w.does(step)
			if err := sees.hears(step, told); err != nil {
				rt.Fatalf("%v, in %q: %s", err, told, strings.Join(tale, "; "))
			}
			for _, what := range told {
				var n, try int
				if _, err := fmt.Sscanf(what, "begin %d.%d", &n, &try); err == nil && rapid.IntRange(0, 3).Draw(rt, "a place?") == 0 {
					step := fmt.Sprint("waits: ", n)
					tale = append(tale, step)
					if err := sees.hears(step, w.does(step)); err != nil {
						rt.Fatal(err)
					}
				}
			}
		}
		for range rapid.IntRange(1, 25).Draw(rt, "steps") {
			may := []string{"crash"}
			if w.s.status == "" {
				may = append(may, "terminate")
			}
			if w.s.status == "" && !w.s.doubtful() {
				may = append(may, "turn", "turn", "turn", "turn")
			}
			for _, c := range w.s.OpenCalls() {
				switch {
				case c.doubt != "":
					may = append(may, fmt.Sprintf("decide: %d retry", c.N), fmt.Sprintf("decide: %d response", c.N))
				case c.waits:
					may = append(may, fmt.Sprint("place: ", c.N))
				case c.next != 0:
					may = append(may, "time")
				default:
					for _, how := range []string{"answered: ", "busy: ", "not sent: ", "no outcome: "} {
						may = append(may, fmt.Sprint(how, c.N))
					}
				}
			}
			step := rapid.SampledFrom(may).Draw(rt, "step")
			var n int
			switch {
			case step == "turn":
				var words []string
				made := w.s.made
				for range rapid.IntRange(0, 2).Draw(rt, "calls") {
					head := rapid.SampledFrom([]string{"post", "put", "post retry", "put retry", "tell"}).Draw(rt, "call")
					made++
					sees.idempotent[made] = strings.HasPrefix(head, "put")
					words = append(words, head)
				}
				if made > 0 && rapid.Bool().Draw(rt, "withdraws") {
					n, why := rapid.IntRange(1, made).Draw(rt, "of"), rapid.SampledFrom([]string{"deadline", "cancelled", "dropped"}).Draw(rt, "why")
					word := fmt.Sprintf("withdraw %d %s", n, why)
					if rapid.Bool().Draw(rt, "in a saga") {
						word += " settle"
					}
					if c := w.s.Calls[n]; c != nil || n > w.s.made {
						sees.why[n] = why
					}
					words = append(words, word)
				}
				end := rapid.SampledFrom([]string{"", "", "", "", "", "", "return", "fail"}).Draw(rt, "end")
				if end != "" {
					words = append(words, end)
				}
				if end == "fail" {
					sees.status = flawless.Failed
				}
				does("turn: " + strings.Join(words, ", "))
			case step == "crash":
				for n, under := range sees.under {
					if under {
						sees.under[n], sees.unknown[n], sees.anew[n] = false, true, true
					}
				}
				does(step)
			default:
				if _, err := fmt.Sscanf(step, "decide: %d retry", &n); err == nil && strings.HasSuffix(step, "retry") && !(w.s.status != "" && w.s.status != flawless.Completed) {
					sees.anew[n], sees.unknown[n] = true, false
				}
				does(step)
			}
			sees.status = w.s.status
		}
	})
}

// TestAWithdrawnCallSaysWhy: people who read the log see what became of it.
func TestAWithdrawnCallSaysWhy(t *testing.T) {
	t.Parallel()
	for told, want := range map[string]string{
		"turn: post, withdraw 1 deadline":                             "withdrawn before it began: the context ended (deadline)",
		"turn: post; waits: 1; turn: withdraw 1 dropped":              "withdrawn before it began: the code dropped it",
		"turn: post retry; busy: 1; turn: fail":                       "withdrawn before try 2 began: the run has failed",
		"turn: post; waits: 1; terminate":                             "withdrawn before it began: the run was terminated",
		"turn: put; turn: withdraw 1 cancelled":                       "withdrawn while try 1 was under way, whose outcome is not waited for: the context ended (cancelled)",
		"turn: put; turn: withdraw 1 cancelled settle; no outcome: 1": "withdrawn after try 1 (the connection broke): the context ended (cancelled)",
	} {
		w := newTale(t)
		for _, step := range strings.Split(told, "; ") {
			w.does(step)
		}
		last := w.log[len(w.log)-1].Arrival
		if last == nil || last.Note != want || !strings.Contains(string(last.Head), want) {
			t.Errorf("%s: %+v, want %q", told, last, want)
		}
	}
}

func noTerms(*OpenCall) Terms { return Terms{} }
