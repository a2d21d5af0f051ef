package core

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
)

// oracle checks the results of steps against the rules, which it knows in another form than the state.
type oracle struct {
	idempotent, inFlight, fresh, unknown, answered map[int]bool // by call
	why                                            map[int]string
	status                                         flawless.Status
}

func newOracle() *oracle {
	m := func() map[int]bool { return map[int]bool{} }
	return &oracle{idempotent: m(), inFlight: m(), fresh: m(), unknown: m(), answered: m(), why: map[int]string{}}
}

// observe records the results of a step and returns what is wrong with them.
func (w *oracle) observe(step string, results []string) error {
	for _, what := range results {
		var n, try int
		if _, err := fmt.Sscanf(what, "begin %d.%d", &n, &try); err == nil {
			switch {
			case w.answered[n]:
				return fmt.Errorf("call %d begins after it was answered", n)
			case w.inFlight[n]:
				return fmt.Errorf("call %d begins twice at a time", n)
			case w.unknown[n] && !w.idempotent[n]:
				return fmt.Errorf("call %d begins again while nobody knows whether it took effect", n)
			case w.why[n] != "" && !w.fresh[n]:
				return fmt.Errorf("call %d begins after it was withdrawn", n)
			case w.status != "" && w.status != flawless.Completed:
				return fmt.Errorf("call %d begins after the run was %s", n, w.status)
			}
			w.inFlight[n], w.unknown[n] = true, false
			continue
		}
		if _, err := fmt.Sscan(what, &n); err != nil {
			continue // a decision that was refused
		}
		_, what, _ = strings.Cut(what, " ")
		switch what, _, _ := strings.Cut(what, " "); what {
		case "next":
			w.inFlight[n], w.fresh[n] = false, false
		case "waits":
			w.inFlight[n] = false
		case "begun":
		case "unknown":
			w.inFlight[n], w.unknown[n] = false, true
		case "withdrawn":
			ended := strings.HasPrefix(step, "no outcome") || strings.HasPrefix(step, "not sent")
			switch {
			case w.inFlight[n] && !w.idempotent[n]:
				return fmt.Errorf("call %d may take effect, and the code is results that it was withdrawn", n)
			case w.inFlight[n] && w.fresh[n] && w.why[n] == effect.WhyDeadline && !ended:
				return fmt.Errorf("call %d was begun again and had no time", n)
			}
			fallthrough
		default:
			if w.answered[n] {
				return fmt.Errorf("call %d is answered twice", n)
			}
			w.answered[n], w.inFlight[n] = true, false
		}
	}
	return nil
}

// TestWithdrawalsInAnyOrder makes random scenarios of calls, withdrawals, outcomes, permits, crashes and decisions, and
// checks them with an oracle. After each crash the log yields the same state.
func TestWithdrawalsInAnyOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		w, checks := newScenario(t), newOracle()
		var steps []string
		does := func(step string) {
			steps = append(steps, step)
			results := w.do(step)
			if err := checks.observe(step, results); err != nil {
				rt.Fatalf("%v, in %q: %s", err, results, strings.Join(steps, "; "))
			}
			for _, what := range results {
				var n, try int
				if _, err := fmt.Sscanf(what, "begin %d.%d", &n, &try); err == nil && rapid.IntRange(0, 3).Draw(rt, "a limit?") == 0 {
					step := fmt.Sprint("waits: ", n)
					steps = append(steps, step)
					if err := checks.observe(step, w.do(step)); err != nil {
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
			if w.s.status == "" && !w.s.isUnresolved() {
				may = append(may, "turn", "turn", "turn", "turn")
			}
			for _, c := range w.s.OpenCalls() {
				switch {
				case c.unknownReason != "":
					may = append(may, fmt.Sprintf("decide: %d retry", c.N), fmt.Sprintf("decide: %d response", c.N))
				case c.awaitsPermit:
					may = append(may, fmt.Sprint("permit: ", c.N))
				case c.nextAt != 0:
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
				made := w.s.callsMade
				for range rapid.IntRange(0, 2).Draw(rt, "calls") {
					head := rapid.SampledFrom([]string{"post", "put", "post retry", "put retry", "tell"}).Draw(rt, "call")
					made++
					checks.idempotent[made] = strings.HasPrefix(head, "put")
					words = append(words, head)
				}
				if made > 0 && rapid.Bool().Draw(rt, "withdraws") {
					n, why := rapid.IntRange(1, made).Draw(rt, "of"), rapid.SampledFrom([]string{"deadline", "cancelled", "dropped"}).Draw(rt, "why")
					word := fmt.Sprintf("withdraw %d %s", n, why)
					if rapid.Bool().Draw(rt, "in a saga") {
						word += " settle"
					}
					if c := w.s.open.all[n]; c != nil || n > w.s.callsMade {
						checks.why[n] = why
					}
					words = append(words, word)
				}
				end := rapid.SampledFrom([]string{"", "", "", "", "", "", "return", "fail"}).Draw(rt, "end")
				if end != "" {
					words = append(words, end)
				}
				if end == "fail" {
					checks.status = flawless.Failed
				}
				does("turn: " + strings.Join(words, ", "))
			case step == "crash":
				for n, under := range checks.inFlight {
					if under {
						checks.inFlight[n], checks.unknown[n], checks.fresh[n] = false, true, true
					}
				}
				does(step)
			default:
				if _, err := fmt.Sscanf(step, "decide: %d retry", &n); err == nil && strings.HasSuffix(step, "retry") && !(w.s.status != "" && w.s.status != flawless.Completed) {
					checks.fresh[n], checks.unknown[n] = true, false
				}
				does(step)
			}
			checks.status = w.s.status
		}
	})
}

// TestWithdrawalsGiveAReason: people who read the log see what became of a withdrawn call.
func TestWithdrawalsGiveAReason(t *testing.T) {
	t.Parallel()
	for results, want := range map[string]string{
		"turn: post, withdraw 1 deadline":                             "withdrawn before it began: the context ended (deadline)",
		"turn: post; waits: 1; turn: withdraw 1 dropped":              "withdrawn before it began: the code dropped it",
		"turn: post retry; busy: 1; turn: fail":                       "withdrawn before attempt 2 began: the run has failed",
		"turn: post; waits: 1; terminate":                             "withdrawn before it began: the run was terminated",
		"turn: put; turn: withdraw 1 cancelled":                       "withdrawn during attempt 1, without waiting for its outcome: the context ended (cancelled)",
		"turn: put; turn: withdraw 1 cancelled settle; no outcome: 1": "withdrawn after attempt 1 (the connection broke): the context ended (cancelled)",
	} {
		w := newScenario(t)
		for _, step := range strings.Split(results, "; ") {
			w.do(step)
		}
		last := w.log[len(w.log)-1].Arrival
		if last == nil || last.Note != want || !strings.Contains(string(last.Head), want) {
			t.Errorf("%s: %+v, want %q", results, last, want)
		}
	}
}
