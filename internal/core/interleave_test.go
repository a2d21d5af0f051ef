package core

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
)

// sleepFor is the duration of sleep calls.
const sleepFor = int64(5 * time.Second)

// interleaving drives a state as the engine does, in random order and with crashes between any two writes, against the
// model in model_test.go.
type interleaving struct {
	*rapid.T
	s       *State
	model   *model
	terms   Terms
	now     int64
	history []string // what happened, for people

	log      [][]flawless.Entry // the records that are durable
	image    []byte             // of the run after some of them
	imaged   int
	pending  []Attempt             // to be performed
	inFlight map[Attempt]modelCall // performed, with what the model knew before
	sent     int                   // messages of another run
}

func (w *interleaving) declared(*OpenCall) Terms { return w.terms }

// TestEventsInAnyOrder: the promises hold for every order of events. After a crash the run is what its log, or an image
// and the log after it, yields. In the end every call is answered.
func TestEventsInAnyOrder(t *testing.T) {
	t.Parallel()
	kinds := allKinds()
	for name, within := range map[string]time.Duration{"no server honours keys": 0, "keys are honoured": 30 * time.Second} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(rt *rapid.T) {
				w := &interleaving{T: rt, s: NewState("run", kinds), model: &model{within: int64(within)}, now: int64(time.Hour), inFlight: map[Attempt]modelCall{},
					terms: Terms{Retry: 2 * time.Minute, RetryBy: "server", Within: within, KeyBy: "host a.example"}}
				defer func() {
					switch p := recover().(type) {
					case nil:
					case violation:
						rt.Fatalf("%s\n%s", p, strings.Join(w.history, "\n"))
					default:
						panic(p)
					}
				}()
				first := flawless.Entry{At: w.now, Start: &flawless.Start{Time: w.now, Seed: make([]byte, 32)}}
				stepped(rt, w.s, first)
				w.log = append(w.log, []flawless.Entry{first})
				for range rapid.IntRange(20, 70).Draw(rt, "events") {
					w.now += int64(time.Millisecond)
					w.step(rapid.SampledFrom(w.enabled()).Draw(rt, "event"))
				}
				w.drain()
			})
		})
	}
}

// draw is true once in so many times.
func (w *interleaving) draw(in int, what string) bool {
	return rapid.IntRange(1, in).Draw(w.T, what) == in // small numbers come more often, and are what a failure is reduced to
}

func (w *interleaving) record(format string, args ...any) {
	w.history = append(w.history, fmt.Sprintf(format, args...))
}

// enabled returns the events that can happen now. An event listed twice is more likely.
func (w *interleaving) enabled() []string {
	var may []string
	if w.s.WantsTurn(w.now) {
		may = append(may, "turn", "turn", "turn")
	}
	for range min(3, len(w.pending)) {
		may = append(may, "perform")
	}
	for range min(3, len(w.inFlight)) {
		may = append(may, "result")
	}
	for c := range w.model.open {
		if c.unknown {
			may = append(may, "decide")
		}
		if c.next != 0 {
			may = append(may, "urge", "due")
		}
		if c.errand() {
			may = append(may, "errand")
		}
	}
	for range w.s.AttemptsWaitingForPermits() {
		may = append(may, "permit")
	}
	may = append(may, "time", "message", "message", "image", "crash")
	if w.draw(4, "people") {
		may = append(may, "pause", "unpause", "cancel", "terminate", "copy")
	}
	return may
}

func (w *interleaving) step(event string) {
	switch event {
	case "turn":
		w.turn()
	case "perform":
		i := rapid.IntRange(0, len(w.pending)-1).Draw(w.T, "which")
		t := w.pending[i]
		w.pending = slices.Delete(w.pending, i, i+1)
		w.perform(t)
	case "result":
		all := slices.SortedFunc(func(yield func(Attempt) bool) {
			for t := range w.inFlight {
				if !yield(t) {
					return
				}
			}
		}, func(a, b Attempt) int { return a.Call*1000 + a.N - b.Call*1000 - b.N })
		w.result(rapid.SampledFrom(all).Draw(w.T, "of"), rapid.SampledFrom([]string{"refused", "broken", "answered", "busy", "conflict"}).Draw(w.T, "result"))
	case "crash":
		w.crash(nil)
	case "copy":
		w.crash(&flawless.Pause{Hold: true})
	case "image":
		if w.s.status == "" {
			w.image, w.imaged = w.s.Snapshot(), len(w.log)
		}
	case "time":
		w.now += rapid.Int64Range(0, 40).Draw(w.T, "seconds") * int64(time.Second)
		w.fire()
	case "due":
		w.now = max(w.now, w.s.NextWake())
		w.fire()
	case "message":
		m := flawless.Message{Type: rapid.SampledFrom([]string{"a", "b"}).Draw(w.T, "type"), Body: flawless.Bytes(fmt.Sprint(len(w.history)))}
		switch rapid.IntRange(1, 3).Draw(w.T, "from") {
		case 1:
			if m.From = "sender"; w.sent == 0 || w.draw(2, "a new one") {
				w.sent++
			}
			m.Call = w.sent
		case 2:
			m.Key, m.Type, m.Body = fmt.Sprint("key ", rapid.IntRange(1, 5).Draw(w.T, "key")), "a", flawless.Bytes("1")
		}
		entries, err := w.s.Accept(m, w.now)
		if known := w.model.seen(m); (len(entries) > 0) != (!known && w.model.status == "") || (err != nil) != (!known && w.model.status != "") {
			w.model.fail("a message that came before: %v, to a run that is %q: %v, %v", known, w.model.status, entries, err)
		}
		w.write(nil, entries...)
	case "pause", "unpause":
		w.request(w.s.Pause(flawless.Pause{Resume: event == "unpause"}, w.now))
	case "cancel":
		c := flawless.Cancel{}
		if w.draw(2, "with a deadline") {
			c.Deadline = w.now + int64(10*time.Second)
		}
		w.request(w.s.RequestCancel(c, w.now))
	case "terminate":
		w.request(w.s.Terminate(flawless.Cancel{}, w.now))
	case "decide":
		how := rapid.SampledFrom([]flawless.Resolution{flawless.Retry, flawless.Retry, flawless.Respond, flawless.Tell, flawless.Fail}).Draw(w.T, "how")
		w.request(w.s.Decide(flawless.Decision{Call: w.one(func(c *modelCall) bool { return c.unknown }), Resolution: how}, w.now))
	case "urge":
		w.request(w.s.DecideRetry(RetryDecision{Call: w.one(func(c *modelCall) bool { return c.next != 0 }), GiveUp: w.draw(3, "give up")}, w.now, w.declared))
	case "errand":
		n := w.one((*modelCall).errand)
		w.write(nil, w.s.AnswerEntry(flawless.Answer{Call: n, Head: []byte("{}")}, "", w.now))
	case "permit":
		w.permit(rapid.SampledFrom(w.s.AttemptsWaitingForPermits()).Draw(w.T, "permit"))
	}
}

// one returns the number of a matching open call.
func (w *interleaving) one(is func(c *modelCall) bool) int {
	var ns []int
	for c := range w.model.open {
		if is(c) {
			ns = append(ns, c.n)
		}
	}
	return rapid.SampledFrom(ns).Draw(w.T, "call")
}

func (w *interleaving) request(entries []flawless.Entry, err error) {
	if err == nil {
		w.write(nil, entries...)
	}
}

// turn lets the guest take a turn.
func (w *interleaving) turn() {
	t := &flawless.Turn{N: w.s.Turns() + 1, Time: max(w.now, w.s.At())}
	ready := w.s.Ready()
	for _, a := range ready[:len(ready)-rapid.IntRange(0, min(1, len(ready)/2)).Draw(w.T, "not yet")] {
		t.Answers = append(t.Answers, a.Call)
	}
	var words []string
	for range rapid.IntRange(0, 4).Draw(w.T, "calls") {
		n := w.s.callsMade + len(words) + 1
		word := rapid.SampledFrom([]string{"post", "put retry", "withdraw", "receive", "put", "post retry", "sleep", "tell", "spawn", "cancelled?", "doubt", "nonsense"}).Draw(w.T, "call")
		c := flawless.Call{N: n, Kind: effect.HTTP, Head: json.RawMessage(callHeads[word])}
		switch word {
		case "sleep":
			c.Kind, c.Head = effect.Sleep, fmt.Appendf(nil, `{"for":%d}`, sleepFor)
		case "receive":
			c.Kind, c.Head = effect.Receive, []byte(rapid.SampledFrom([]string{`{"types":["a"]}`, `{"types":["b"]}`, `{"types":["b","a"]}`}).Draw(w.T, "types"))
		case "spawn":
			c.Kind, c.Head, c.Body = effect.Spawn, []byte(`{"workflow":"child"}`), flawless.Bytes("1")
		case "cancelled?":
			c.Kind, c.Head = effect.Cancelled, []byte("{}")
		case "doubt":
			c.Kind, c.Head = effect.Doubt, []byte(`{"request":"POST x","reason":"the client gave up"}`)
		case "nonsense":
			c.Kind, c.Head = "nonsense", nil
		case "withdraw":
			if n == 1 {
				continue
			}
			of := []int{n - 1, rapid.IntRange(1, n-1).Draw(w.T, "any")}
			for c := range w.model.open {
				of = append(of, c.n)
			}
			c.Kind = effect.Withdraw
			c.Head = fmt.Appendf(nil, `{"call":%d,"why":%q,"settle":%v}`, rapid.SampledFrom(of).Draw(w.T, "of"),
				rapid.SampledFrom([]string{"deadline", "cancelled", "dropped"}).Draw(w.T, "why"), w.draw(3, "in a saga"))
		}
		words, t.Calls = append(words, word), append(t.Calls, c)
	}
	if w.draw(3, "timer") {
		t.Wake = t.Time + rapid.Int64Range(0, 10).Draw(w.T, "seconds")*int64(time.Second) + 1
	}
	switch rapid.IntRange(1, 20).Draw(w.T, "end") {
	case 20:
		t.Ended = &flawless.Ended{Output: []byte("1")}
	case 19:
		t.Ended = &flawless.Ended{Failure: &flawless.Failure{Kind: "error"}}
	case 18:
		t.Ended = &flawless.Ended{Failure: &flawless.Failure{Kind: "cancelled"}}
	}
	w.write(words, w.s.TurnEntry(t, w.now))
}

// write applies entries and their consequences, as the engine does. It returns false if the server dies before they are
// durable; another one has taken over then.
func (w *interleaving) write(words []string, entries ...flawless.Entry) bool {
	if len(entries) == 0 {
		return true
	}
	var record []flawless.Entry
	var attempts []Attempt
	take := func(e flawless.Entry) {
		record = append(record, e)
		for _, t := range stepped(w, w.s, e) {
			if w.s.Call(t.Call) != nil && w.draw(4, "a limit") {
				wait := w.s.WaitEntry(t, "a limit")
				stepped(w, w.s, wait)
				record = append(record, wait)
				continue
			}
			attempts = append(attempts, t)
		}
	}
	for _, e := range entries {
		take(e)
	}
	for _, e := range w.s.Consequences() {
		take(e)
	}
	return w.durable(words, record, attempts)
}

func (w *interleaving) durable(words []string, record []flawless.Entry, attempts []Attempt) bool {
	if w.draw(20, "it dies before") {
		w.record("lost: %s", formatRecord(record))
		w.crash(nil)
		return false
	}
	w.record("%d %s %q", w.now-int64(time.Hour), formatRecord(record), words)
	w.log = append(w.log, record)
	for _, e := range record {
		w.model.observe(e, words)
	}
	w.pending = append(w.pending, attempts...)
	w.check()
	return true
}

// formatRecord formats a record for failures.
func formatRecord(record []flawless.Entry) string {
	b, _ := json.Marshal(record)
	return string(b)
}

// check compares the run with what its log yields, and with the model.
func (w *interleaving) check() {
	if w.draw(4, "from the log") {
		w.same("the log", w.read(nil, 0))
	}
	if w.image != nil && w.draw(4, "from an image") {
		w.same("an image", w.read(w.image, w.imaged))
	}
	var ready, mail, unread []int
	for _, a := range w.s.Ready() {
		ready = append(ready, a.Call)
	}
	for _, m := range w.s.Unread() {
		unread = append(unread, m.N)
	}
	for _, m := range w.model.mail {
		mail = append(mail, m.N)
	}
	switch {
	case !slices.Equal(ready, w.model.ready):
		w.model.fail("ready are the answers of %v, want %v", ready, w.model.ready)
	case !slices.Equal(unread, mail):
		w.model.fail("unread are the messages %v, want %v", unread, mail)
	case w.s.Outcome() != w.model.status:
		w.model.fail("the run is %q, want %q", w.s.Outcome(), w.model.status)
	case w.s.WantsTurn(w.now) != w.model.wantsTurn(w.now):
		w.model.fail("that the guest has something to compute is %v", w.s.WantsTurn(w.now))
	case w.s.NextWake() != w.model.nextWake():
		w.model.fail("the run wakes at %d, and something is due at %d", w.s.NextWake(), w.model.nextWake())
	}
}

// read restores the run from an image and the records after it, or from the whole log.
func (w *interleaving) read(image []byte, after int) *State {
	s := NewState("run", w.s.kinds)
	if image != nil {
		if err := s.Restore(image); err != nil {
			w.Fatal(err)
		}
	}
	for _, record := range w.log[after:] {
		for _, e := range record {
			s.Step(e)
		}
	}
	if err := checkIndex(s); err != nil {
		w.model.fail("%v", err)
	}
	return s
}

func (w *interleaving) same(from string, s *State) {
	all := func(s *State) []byte {
		summary, _ := json.Marshal(s.Summary())
		return fmt.Appendf(s.Snapshot(), "%s %d %v %v %v", summary, s.NextWake(), s.Active(), s.Errands(""), s.withdrawals)
	}
	if was, is := all(w.s), all(s); !bytes.Equal(was, is) {
		w.model.fail("%s makes another run:\n%s\n%s", from, is, was)
	}
}

// crash lets another server take over, with a copy of the store if held is not nil.
func (w *interleaving) crash(held *flawless.Pause) {
	w.record("crash, copy %v", held != nil)
	w.model.crash()
	clear(w.inFlight)
	w.pending = nil
	if w.s = w.read(nil, 0); w.image != nil && w.draw(2, "from the image") {
		w.s = w.read(w.image, w.imaged)
	}
	if held != nil && !w.write(nil, w.s.Hold(*held, w.now)...) {
		return
	}
	w.write(nil, w.s.Recover(w.now, false, w.declared)...)
}

func (w *interleaving) fire() {
	due, soonest := w.s.Fire(w.now), w.model.nextWake()
	if w.model.wake != 0 && w.model.wake <= w.now { // the guest has to hear of it first
		w.write(nil, due...)
		return
	}
	if (len(due) > 0) != (soonest != 0 && soonest <= w.now) {
		w.model.fail("at %d, when something is due at %d, %d entries come", w.now, soonest, len(due))
	}
	w.write(nil, due...)
}

// permit begins an attempt that has its permit.
func (w *interleaving) permit(t Attempt) {
	w.fire()
	if !w.s.WaitsForPermit(t.Call) || w.s.IsBehind(w.now) {
		return
	}
	e := w.s.BeginEntry(t.Call, w.now)
	w.durable(nil, []flawless.Entry{e}, stepped(w, w.s, e))
}

func (w *interleaving) perform(t Attempt) {
	c := w.s.Call(t.Call)
	if c == nil || c.Attempts() != t.N {
		return
	}
	if entries, _ := w.s.Recheck(t, w.now, w.terms); entries != nil {
		w.write(nil, entries...)
		return
	}
	w.record("%d performed: %v", w.now-int64(time.Hour), t)
	before := *w.model.calls[t.Call-1]
	w.model.startAttempt(t.Call, w.now)
	w.inFlight[t] = before
}

func (w *interleaving) result(t Attempt, how string) {
	before := w.inFlight[t]
	delete(w.inFlight, t)
	ok, _ := effect.ResponseAnswer(t.Call, 200, nil)
	r := effect.Result{Outcome: effect.Answered, Status: 200, Answer: ok, Text: how}
	switch how {
	case "busy":
		r.Status, r.Again = 503, strings.HasSuffix(before.word, "retry")
	case "conflict":
		r.Status = 409
	case "refused":
		r = effect.Result{Outcome: effect.NotSent, Passes: true, Again: true, Reason: "dial", Answer: effect.ErrorAnswer(t.Call, "not_sent", ""), Text: how}
	case "broken":
		r = effect.Result{Outcome: effect.Unknown, Passes: true, Again: before.idempotent(), Answer: effect.ErrorAnswer(t.Call, "interrupted", ""), Text: how}
	}
	w.model.endAttempt(t.Call, how == "refused" || r.Again && how == "busy", how != "refused", before)
	w.record("%d %v is %s", w.now-int64(time.Hour), t, how)
	w.write(nil, w.s.Result(t, r, w.now, w.terms)...)
}

// drain lets the run come to its end or to rest, with people who decide and servers that answer.
func (w *interleaving) drain() {
	for range 1000 {
		waiting := w.s.AttemptsWaitingForPermits()
		switch {
		case w.s.Held() != nil || w.s.Paused() != nil:
			w.request(w.s.Pause(flawless.Pause{Resume: true}, w.now))
		case len(w.pending) > 0:
			w.step("perform")
		case len(w.inFlight) > 0:
			for t := range w.inFlight {
				w.result(t, "answered")
				break
			}
		case w.model.isUnresolved():
			for c := range w.model.open {
				if c.unknown {
					w.request(w.s.Decide(flawless.Decision{Call: c.n, Resolution: flawless.Respond, Status: 200}, w.now))
					break
				}
			}
		case w.s.WantsTurn(w.now):
			t := &flawless.Turn{N: w.s.Turns() + 1, Time: max(w.now, w.s.At()), Answers: slices.Clone(w.model.ready)}
			w.write(nil, w.s.TurnEntry(t, w.now))
		case len(waiting) > 0:
			w.permit(waiting[0])
		case len(w.s.Errands("")) > 0:
			w.write(nil, w.s.AnswerEntry(flawless.Answer{Call: w.s.Errands("")[0], Head: []byte("{}")}, "", w.now))
		case w.s.NextWake() != 0:
			w.now = max(w.now, w.s.NextWake())
			w.fire()
		default:
			for c := range w.model.open {
				if c.types == nil && c.word != "cancelled?" || w.model.status != "" {
					w.model.fail("call %d, %s, has no answer, and never gets one", c.n, c.word)
				}
			}
			return
		}
	}
	w.model.fail("the run never comes to rest")
}
