package core

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
)

// BenchmarkEntry measures what the engine asks of core for each write of a run while many other calls are open: the
// result of a call, its consequences, the turn that receives it and makes the next call, and the row of the run. The time
// must not grow with the number of open calls.
func BenchmarkEntry(b *testing.B) {
	for _, others := range []struct {
		name string
		call flawless.Call
		ends func(s *State, n int, at int64) // ends each of the other calls before the measurement
	}{
		{"in flight", flawless.Call{Kind: effect.HTTP, Head: json.RawMessage(aGet)}, nil},
		{"in back-off", flawless.Call{Kind: effect.HTTP, Head: json.RawMessage(aGet)}, func(s *State, n int, at int64) {
			for _, e := range s.Result(Attempt{n, 1}, notSent, at, day) {
				s.Step(e)
			}
		}},
		{"unresolved", flawless.Call{Kind: effect.HTTP, Head: json.RawMessage(aPost)}, func(s *State, n int, _ int64) {
			s.Step(s.UnknownEntry(n, "nobody knows", Terms{}))
		}},
		{"sleeping", flawless.Call{Kind: effect.Sleep, Head: json.RawMessage(`{"for":86400000000000}`)}, nil},
		{"receiving", flawless.Call{Kind: effect.Receive, Head: json.RawMessage(`{"type":"other"}`)}, nil},
	} {
		for _, n := range []int{10, 1000, 10000} {
			b.Run(fmt.Sprintf("%s/%d", others.name, n), func(b *testing.B) { benchmarkEntry(b, n, others.call, others.ends) })
		}
	}
}

func benchmarkEntry(b *testing.B, n int, call flawless.Call, ends func(s *State, n int, at int64)) {
	s, now := NewState("run", allKinds()), int64(time.Hour)
	take := func(entries ...flawless.Entry) {
		for _, e := range entries {
			s.Step(e)
		}
		for _, e := range s.Consequences() {
			s.Step(e)
		}
	}
	take(flawless.Entry{At: now, Start: &flawless.Start{Time: now, Seed: make([]byte, 32)}})
	first := &flawless.Turn{N: 1, Time: now}
	for i := range n {
		call.N = i + 1
		first.Calls = append(first.Calls, call)
	}
	get := flawless.Call{N: n + 1, Kind: effect.HTTP, Head: json.RawMessage(aGet)}
	first.Calls = append(first.Calls, get)
	take(flawless.Entry{At: now, Turn: first})
	if ends != nil {
		for i := range n {
			ends(s, i+1, now)
		}
	}
	take(flawless.Entry{At: now, Message: &flawless.Message{N: 1, Type: "nobody receives it", Body: []byte("1")}})
	ok, _ := effect.ResponseAnswer(get.N, 200, []byte("{}"))
	row := func() {
		if s.Summary().Status == "" || !s.Active() {
			b.Fatal("the run is not alive")
		}
		s.NextWake()
	}
	b.ReportAllocs()
	for b.Loop() {
		now++
		ok.Call = get.N
		take(s.Result(Attempt{get.N, 1}, effect.Result{Outcome: effect.Answered, Status: 200, Answer: ok}, now, day)...)
		row()
		take(s.Fire(now)...)
		if s.WantsTurn(now) == (s.Status() == flawless.Unresolved) {
			b.Fatal("the guest computes while calls are unresolved, or has nothing to do")
		}
		t := &flawless.Turn{N: s.Turns() + 1, Time: now, Answers: []int{get.N}}
		get.N++
		t.Calls = []flawless.Call{get}
		if s.IsStuck(t) {
			b.Fatal("the run waits for a request")
		}
		take(s.TurnEntry(t, now))
		row()
		s.WaitsForOthers()
	}
}
