package engine

import (
	"fmt"
	"maps"
	"testing"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/core"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

// TestSendersThatHaveEndedAreForgotten: a run that lives for years would else remember every run that ever sent to it. One
// that has not ended may repeat its last message after a crash, and is remembered.
func TestSendersThatHaveEndedAreForgotten(t *testing.T) {
	e := open(t, mem.New(), Options{})
	id, live, ended := mustStart(t, e, "obey", nil, "").ID, mustStart(t, e, "obey", nil, "").ID, mustStart(t, e, "empty", 1, "").ID
	mustEnd(t, e, ended)
	r, err := e.acquire(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	defer e.release(r)
	came := 0
	hear := func(from string) {
		came++
		r.s.Step(flawless.Entry{Message: &flawless.Message{N: came, Type: "a", Body: flawless.Bytes("1"), From: from, Call: 7}})
	}
	remembered := func(want map[string]int) {
		t.Helper()
		r.mu.Lock()
		defer r.mu.Unlock()
		if got := r.s.Senders(); !maps.Equal(got, want) {
			t.Errorf("of %d runs it is remembered that they sent, want %v", len(got), want)
		}
	}
	r.mu.Lock()
	hear(live)
	hear(ended)
	r.mu.Unlock()
	r.forgetSenders()
	remembered(map[string]int{live: 7, ended: 7}) // they are few
	r.mu.Lock()
	for n := range core.MaxSenders {
		hear(fmt.Sprint("removed-", n))
	}
	r.mu.Unlock()
	r.forgetSenders()
	remembered(map[string]int{live: 7})
	r.mu.Lock()
	entries, err := r.s.Accept(flawless.Message{Type: "a", Body: flawless.Bytes("1"), From: live, Call: 7}, e.now())
	r.mu.Unlock()
	if entries != nil || err != nil {
		t.Errorf("what a run repeats is taken in again: %v, %v", entries, err)
	}
}
