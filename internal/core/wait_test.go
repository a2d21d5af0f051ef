package core

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
)

// TestWaitingInWords checks for each kind of wait what people read about it.
func TestWaitingInWords(t *testing.T) {
	t.Parallel()
	const noon = int64(12 * time.Hour)
	clock := func(at time.Time) string { return at.UTC().Format("15:04") }
	call := func(kind, head string) flawless.Call {
		return flawless.Call{Kind: kind, Head: json.RawMessage(head)}
	}
	get := call(effect.HTTP, `{"method":"GET","url":"http://a.example/rates","at":"main.go:7"}`)
	for _, c := range []struct {
		name  string
		calls []flawless.Call
		wake  int64
		after func(s *State) []flawless.Entry
		want  string
	}{
		{"timer of the code", nil, noon, nil, "waits until 12:00 for a timer"},
		{"sleep", []flawless.Call{call(effect.Sleep, `{"until":43200000000000,"at":"main.go:58"}`)}, 0, nil, "waits until 12:00 for the timer at main.go:58"},
		{"message", []flawless.Call{call(effect.Receive, `{"types":["approve","reject"],"at":"main.go:3"}`)}, 0, nil, "waits for message `approve or reject` at main.go:3"},
		{"message with a limit", []flawless.Call{call(effect.Receive, `{"type":"approve"}`)}, noon, nil, "waits for message `approve`, or until 12:00"},
		{"promise", []flawless.Call{call(effect.Promise, `{"name":"paid","secret":"abcdefghijklmnopqrst"}`)}, 0, nil, "waits for promise `paid`"},
		{"call", []flawless.Call{get}, 0, nil, "waits for the answer to GET http://a.example/rates at main.go:7"},
		{"newest of several", []flawless.Call{call(effect.Receive, `{"type":"stop"}`), get, get}, 0, nil, "waits for the answer to GET http://a.example/rates at main.go:7, and for 2 more calls"},
		{"what waits for the end only", []flawless.Call{call(effect.Receive, `{"type":"stop"}`), call(effect.Cancelled, `{}`)}, 0, nil, "waits for message `stop`"},
		{"child", []flawless.Call{call(effect.Spawn, `{"workflow":"pay"}`)}, 0, nil, "waits for run run.1"},
		{"another run", []flawless.Call{call(effect.Await, `{"run":"order-1"}`)}, 0, nil, "waits for run order-1"},
		{"state", []flawless.Call{call(effect.State, `{"op":"lock","name":"stock"}`)}, 0, nil, "waits for state `stock`"},
		{"permit", []flawless.Call{get}, 0, func(s *State) []flawless.Entry { return []flawless.Entry{s.WaitEntry(Attempt{1, 1}, "a.example")} },
			"waits for a permit of the rate limit of a.example at main.go:7"},
		{"retry", []flawless.Call{get}, 0, func(s *State) []flawless.Entry {
			return []flawless.Entry{{At: 3, Attempt: &flawless.Attempt{Call: 1, N: 1, Result: "refused", Next: noon, Failed: &flawless.TryFailure{Kind: "not_sent"}}}}
		}, "waits for the next attempt at GET http://a.example/rates at main.go:7, at 12:00"},
		{"decision", []flawless.Call{get, get}, 0, func(s *State) []flawless.Entry { return []flawless.Entry{s.UnknownEntry(2, "reset", Terms{})} },
			"waits for a decision about call 2, GET http://a.example/rates at main.go:7"},
		{"resume", []flawless.Call{get}, 0, func(*State) []flawless.Entry { return []flawless.Entry{{At: 3, Pause: &flawless.Pause{Who: "anna"}}} },
			"waits for a person to resume it"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := NewState("run", allKinds())
			stepped(t, s, flawless.Entry{At: 1, Start: &flawless.Start{Time: 1, Seed: make([]byte, 32)}})
			if w := s.Waiting(); w == nil || w.Sentence(clock) != "waits to begin" {
				t.Errorf("before its first turn it waits for %+v", w)
			}
			turn := &flawless.Turn{N: 1, Time: 2, Wake: c.wake}
			for i, made := range c.calls {
				made.N = i + 1
				turn.Calls = append(turn.Calls, made)
			}
			stepped(t, s, flawless.Entry{At: 2, Turn: turn})
			if c.after != nil {
				for _, e := range c.after(s) {
					stepped(t, s, e)
				}
			}
			w := s.Waiting()
			if w == nil {
				t.Fatal("it waits for nothing")
			}
			if got := w.Sentence(clock); got != c.want {
				t.Errorf("it %s\nwant %s", got, c.want)
			}
			if got := s.WaitsFor(); got != (WaitsFor{w.Kind, w.Call}) {
				t.Errorf("WaitsFor is %+v, and Waiting %+v", got, w)
			}
			b, err := json.Marshal(w)
			var back flawless.Wait
			if err == nil {
				err = json.Unmarshal(b, &back)
			}
			if err != nil || back.Text == "" || back.Kind != w.Kind {
				t.Errorf("as JSON it is %s (%v)", b, err)
			}
			stepped(t, s, flawless.Entry{At: 4, End: &flawless.End{Status: flawless.Terminated}})
			if w := s.Waiting(); w != nil {
				t.Errorf("after its end it waits for %+v", w)
			}
		})
	}
}
