package core

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
)

// scenario drives the state of a run through entries that a test writes as words, and describes what follows in words:
// "begin 2.1" is an attempt to perform (call 2, attempt 1), "2 withdrawn not_begun" an answer, "2 unknown" an unknown
// outcome, "2 next" a scheduled retry, "2 begun" a retry that begins.
//
// A turn is written as calls and withdrawals: "post", "put", "post retry", "tell", "withdraw 2 deadline", "withdraw 2
// cancelled settle", "return", "fail", "cancelled", "wake 5" for a timer due after five seconds, "sleep 5" for a sleep
// call, "cancelled?" for the call that waits for a cancellation. "late: 60" lets a minute pass without anybody looking.
//
// The files in testdata have such scenarios, see TestScenarios.
type scenario struct {
	t     *testing.T
	s     *State
	now   int64
	log   []flawless.Entry // as it would be written
	terms Terms            // of the operator, for every call
}

func (w *scenario) declared(*OpenCall) Terms { return w.terms }

func newScenario(t *testing.T) *scenario { return newScenarioUntil(t, 0) }

// newScenarioUntil is newScenario for a run with a deadline.
func newScenarioUntil(t *testing.T, deadline int64) *scenario {
	w := &scenario{t: t, s: NewState("run", allKinds()), now: 1}
	w.take(flawless.Entry{At: 1, Start: &flawless.Start{Time: 1, Seed: make([]byte, 32), Deadline: deadline}})
	return w
}

// allKinds returns all kinds of calls.
func allKinds() map[string]*effect.Kind {
	kinds := map[string]*effect.Kind{}
	for _, k := range effect.Kinds(effect.Options{}) {
		kinds[k.Name] = &k
	}
	return kinds
}

// take applies entries and their consequences, as the engine does.
func (w *scenario) take(entries ...flawless.Entry) (results []string) {
	one := func(e flawless.Entry) {
		w.log = append(w.log, e)
		results = append(results, describe(e)...)
		for _, t := range stepped(w.t, w.s, e) {
			results = append(results, fmt.Sprintf("begin %d.%d", t.Call, t.N))
		}
	}
	for _, e := range entries {
		one(e)
	}
	for _, e := range w.s.Consequences() {
		one(e)
	}
	return results
}

func describe(e flawless.Entry) []string {
	switch {
	case e.Arrival != nil:
		var h struct {
			Status int
			Error  *struct{ Kind, Reason string }
		}
		_ = json.Unmarshal(e.Arrival.Head, &h)
		if h.Error != nil {
			return []string{strings.TrimSpace(fmt.Sprint(e.Arrival.Call, " ", h.Error.Kind, " ", h.Error.Reason))}
		}
		switch {
		case e.Arrival.Message != 0:
			return []string{fmt.Sprintf("%d message %d", e.Arrival.Call, e.Arrival.Message)}
		case h.Status == 0:
			return []string{fmt.Sprint(e.Arrival.Call, " answered")}
		}
		return []string{fmt.Sprint(e.Arrival.Call, " ", h.Status)}
	case e.Message != nil:
		return []string{fmt.Sprint("message ", e.Message.N)}
	case e.Unknown != nil && e.Unknown.Unseen != 0:
		return []string{fmt.Sprintf("%d unknown, attempt %d not seen to end", e.Unknown.Call, e.Unknown.Unseen)}
	case e.Unknown != nil:
		return []string{fmt.Sprint(e.Unknown.Call, " unknown")}
	case e.Attempt != nil && e.Attempt.Next != 0:
		return []string{fmt.Sprint(e.Attempt.Call, " next")}
	case e.Attempt != nil && e.Attempt.Begun:
		return []string{fmt.Sprint(e.Attempt.Call, " begun")}
	case e.Attempt != nil && e.Attempt.Waits != "":
		return []string{fmt.Sprint(e.Attempt.Call, " waits")}
	}
	return nil
}

// callHeads are the words for http calls.
var callHeads = map[string]string{
	"post":       `{"method":"POST","url":"http://a.example/"}`,
	"put":        `{"method":"PUT","url":"http://a.example/"}`,
	"tell":       `{"method":"POST","url":"http://a.example/","on_unknown":"tell"}`,
	"get":        `{"url":"http://a.example/"}`,
	"post retry": `{"method":"POST","url":"http://a.example/","retry":{"attempts":5,"initial_ms":1000}}`,
	"put retry":  `{"method":"PUT","url":"http://a.example/","retry":{"attempts":5,"initial_ms":1000}}`,
}

// seconds parses a time of a scenario, which starts at 0.
func seconds(s string) int64 {
	n, _ := strconv.Atoi(s)
	return int64(n) * int64(time.Second)
}

// do takes one step of a scenario.
func (w *scenario) do(step string) []string {
	w.now++
	at := max(w.now, w.s.at)
	step, request, _ := strings.Cut(step, " by ") // the id of the request
	what, rest, _ := strings.Cut(step, ": ")
	var call int
	_, _ = fmt.Sscan(rest, &call)
	_, how, _ := strings.Cut(rest, " ")
	awaited := func() Attempt { return Attempt{call, w.s.open.all[call].attempt} }
	switch what {
	case "turn":
		t := &flawless.Turn{N: w.s.turns + 1, Time: at}
		for _, a := range w.s.ready {
			t.Answers = append(t.Answers, a.Call)
		}
		for _, made := range strings.Split(rest, ", ") {
			n := w.s.callsMade + len(t.Calls) + 1
			if head, ok := callHeads[made]; ok {
				t.Calls = append(t.Calls, flawless.Call{N: n, Kind: effect.HTTP, Head: json.RawMessage(head)})
				continue
			}
			words := strings.Fields(made)
			switch {
			case len(words) == 0:
			case words[0] == "withdraw":
				head := fmt.Sprintf(`{"call":%s,"why":%q,"settle":%v}`, words[1], words[2], len(words) > 3)
				t.Calls = append(t.Calls, flawless.Call{N: n, Kind: effect.Withdraw, Head: json.RawMessage(head)})
			case words[0] == "wake":
				t.Wake = seconds(words[1])
			case words[0] == "sleep":
				t.Calls = append(t.Calls, flawless.Call{N: n, Kind: effect.Sleep, Head: json.RawMessage(fmt.Sprintf(`{"for":%s000000000}`, words[1]))})
			case words[0] == "receive": // of any of these types
				types, _ := json.Marshal(words[1:])
				t.Calls = append(t.Calls, flawless.Call{N: n, Kind: effect.Receive, Head: json.RawMessage(fmt.Sprintf(`{"types":%s}`, types))})
			case words[0] == "receive-number":
				t.Calls = append(t.Calls, flawless.Call{N: n, Kind: effect.Receive, Head: json.RawMessage(fmt.Sprintf(`{"type":%q,"schema":{"type":"number"}}`, words[1]))})
			case words[0] == "spawn":
				t.Calls = append(t.Calls, flawless.Call{N: n, Kind: effect.Spawn, Head: json.RawMessage(`{"workflow":"child"}`), Body: flawless.Bytes("1")})
			case words[0] == "send":
				t.Calls = append(t.Calls, flawless.Call{N: n, Kind: effect.Send, Head: json.RawMessage(`{"to":"other","type":"t"}`), Body: flawless.Bytes("1")})
			case words[0] == "doubt": // of something that the code itself has done
				t.Calls = append(t.Calls, flawless.Call{N: n, Kind: effect.Doubt, Head: json.RawMessage(`{"request":"POST x","reason":"the client gave up"}`)})
			case words[0] == "nonsense":
				t.Calls = append(t.Calls, flawless.Call{N: n, Kind: "nonsense"})
			case words[0] == "cancelled?":
				t.Calls = append(t.Calls, flawless.Call{N: n, Kind: effect.Cancelled, Head: json.RawMessage("{}")})
			case made == "return":
				t.Ended = &flawless.Ended{Output: []byte("1")}
			case made == "fail", made == "cancelled":
				t.Ended = &flawless.Ended{Failure: &flawless.Failure{Kind: map[string]string{"fail": "error"}[made] + map[string]string{"cancelled": "cancelled"}[made]}}
			default:
				w.t.Fatalf("no such word: %q", made)
			}
		}
		return w.take(flawless.Entry{At: at, Turn: t})
	case "waits": // for a rate-limit permit
		return w.take(flawless.Entry{At: at, Attempt: &flawless.Attempt{Call: call, N: w.s.open.all[call].attempt - 1, Waits: "a limit"}})
	case "permit":
		return w.take(flawless.Entry{At: at, Attempt: &flawless.Attempt{Call: call, N: w.s.open.all[call].attempt + 1, Begun: true}})
	case "answered":
		a, _ := effect.ResponseAnswer(call, 200, nil)
		return w.take(w.s.Result(awaited(), effect.Result{Outcome: effect.Answered, Answer: a}, at, w.terms)...)
	case "busy": // a status that the policy retries
		a, _ := effect.ResponseAnswer(call, 503, nil)
		return w.take(w.s.Result(awaited(), effect.Result{Outcome: effect.Answered, Answer: a, Again: true}, at, w.terms)...)
	case "not sent":
		return w.take(w.s.Result(awaited(), effect.Result{Outcome: effect.NotSent, Answer: effect.ErrorAnswer(call, "not_sent", ""), Again: true}, at, w.terms)...)
	case "no outcome":
		return w.take(w.s.Result(awaited(), effect.Result{Outcome: effect.Unknown, Answer: effect.ErrorAnswer(call, "interrupted", ""), Again: w.s.open.all[call].policy.Idempotent, Text: "the connection broke"}, at, w.terms)...)
	case "crash", "taken over": // from a server that was not seen to stop
		again := NewState("run", w.s.kinds)
		for _, e := range w.log {
			stepped(w.t, again, e)
		}
		if was, is := w.s.Snapshot(), again.Snapshot(); w.s.status == "" && !bytes.Equal(was, is) {
			w.t.Fatalf("the log makes another state:\n%s\n%s", was, is)
		}
		w.s = again
		return w.take(w.s.Recover(at, what == "taken over", w.declared)...)
	case "learned": // late, from the owner before: CALL.ATTEMPT and a status, "broken", "not sent" or "lapsed"
		var t Attempt
		_, _ = fmt.Sscanf(rest, "%d.%d", &t.Call, &t.N)
		r := effect.Result{Outcome: effect.Unknown, Passes: true, Text: how, Answer: effect.ErrorAnswer(t.Call, "interrupted", "")}
		if how == "not sent" || how == "lapsed" {
			r.Outcome, r.Answer = effect.NotSent, effect.ErrorAnswer(t.Call, "not_sent", "")
		} else if status, err := strconv.Atoi(how); err == nil {
			a, _ := effect.ResponseAnswer(t.Call, status, nil)
			r = effect.Result{Outcome: effect.Answered, Status: status, Answer: a, Text: how}
		}
		return w.request(w.s.Learn(t, r, how == "lapsed", at, w.declared))
	case "time":
		w.now = w.s.NextWake()
		return w.take(w.s.Fire(w.now)...)
	case "lose": // the database loses calls to a.example that were made
		var lost []Lost
		for _, word := range strings.Fields(rest) {
			n, _ := strconv.Atoi(word)
			lost = append(lost, Lost{n, "POST http://a.example/"})
		}
		return w.take(w.s.Lose(lost, "the database lost acknowledged writes", at)...)
	case "hold", "resume": // because the store is a copy
		return w.take(flawless.Entry{At: at, Pause: &flawless.Pause{Hold: what == "hold", Resume: what == "resume"}})
	case "late":
		w.now = max(at, seconds(rest))
		due := w.s.Fire(w.now)
		results := w.take(due...)
		for _, e := range due {
			switch {
			case e.Cancel != nil:
				results = append(results, "cancelled")
			case e.End != nil:
				results = append(results, string(e.End.Status))
			}
		}
		return results
	case "cancel":
		c := flawless.Cancel{}
		if rest != "" {
			c.Deadline = seconds(rest)
		}
		entries, err := w.s.Once(request, func() ([]flawless.Entry, error) { return w.s.RequestCancel(c, at) })
		return w.request(entries, err)
	case "terminate":
		return w.request(w.s.Terminate(flawless.Cancel{}, at))
	case "withdraw waiting":
		return w.take(w.s.withdrawWaiting(at, "a person decided")...)
	case "decide":
		how, confirmed := strings.CutSuffix(how, " confirmed")
		entries, err := w.s.Once(request, func() ([]flawless.Entry, error) {
			return w.s.Decide(flawless.Decision{Call: call, Resolution: flawless.Resolution(how), Confirm: confirmed}, at)
		})
		return w.request(entries, err)
	case "hurry":
		return w.request(w.s.DecideRetry(RetryDecision{Call: call}, at, w.declared))
	case "give up":
		return w.request(w.s.DecideRetry(RetryDecision{Call: call, GiveUp: true}, at, w.declared))
	case "pause", "unpause": // because a person says so
		return w.request(w.s.Pause(flawless.Pause{Resume: what == "unpause"}, at))
	case "status": // the server answers with it
		status, _ := strconv.Atoi(how)
		a, _ := effect.ResponseAnswer(call, status, nil)
		return w.take(w.s.Result(awaited(), effect.Result{Outcome: effect.Answered, Status: status, Answer: a, Text: how}, at, w.terms)...)
	case "refused": // the connection, as FailureModes says
		return w.take(w.s.Result(awaited(), effect.Result{Outcome: effect.NotSent, Passes: true, Reason: "dial", Answer: effect.ErrorAnswer(call, "not_sent", "")}, at, w.terms)...)
	case "broken": // the connection, after something was sent
		return w.take(w.s.Result(awaited(), effect.Result{Outcome: effect.Unknown, Passes: true, Answer: effect.ErrorAnswer(call, "interrupted", "")}, at, w.terms)...)
	case "may it begin": // asked right before an attempt is performed
		entries, _ := w.s.Recheck(awaited(), at, w.terms)
		if entries == nil {
			return []string{"yes"}
		}
		return w.take(entries...)
	case "message": // TYPE BODY [key KEY | from RUN CALL]
		words := strings.Fields(rest)
		m := flawless.Message{Type: words[0], Body: flawless.Bytes(words[1])}
		switch {
		case len(words) > 3 && words[2] == "key":
			m.Key = words[3]
		case len(words) > 4 && words[2] == "from":
			m.From, m.Call = words[3], int(seconds(words[4])/int64(time.Second))
		}
		entries, err := w.s.Accept(m, at)
		if err == nil && entries == nil {
			return []string{"came before"}
		}
		return w.request(entries, err)
	case "answer": // of the engine, to one of its own calls
		return w.take(w.s.AnswerEntry(flawless.Answer{Call: call, Head: []byte("{}")}, "", at))
	case "adopt":
		return w.take(w.s.AdoptEntry(call, how))
	case "run": // as people see it
		r := w.s.Summary()
		results := []string{string(r.Status)}
		for _, d := range r.Unresolved {
			results = append(results, fmt.Sprint(d.Call, " unresolved"))
		}
		for _, c := range r.Retrying {
			results = append(results, fmt.Sprint(c.Call, " retried"))
		}
		for _, c := range w.s.OpenCalls() {
			if c.child != "" {
				results = append(results, fmt.Sprintf("%d answered by %s", c.N, c.child))
			}
		}
		if r.Mail > 0 {
			results = append(results, fmt.Sprint(r.Mail, " unread"))
		}
		return results
	}
	w.t.Fatalf("no such step: %q", step)
	return nil
}

// request applies what a person or another run has asked for, or returns the code of the refusal.
func (w *scenario) request(entries []flawless.Entry, err error) []string {
	if err != nil {
		return []string{string(flawless.CodeOf(err))}
	}
	return w.take(entries...)
}
