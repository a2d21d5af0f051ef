package engine

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

// inMemory is how many guests have a slot.
func inMemory(e *Engine) int {
	used, _, _ := e.residency.Slots()
	return used
}

// TestWaitingRunsKeepTheirSlots has many more runs than slots. They wait for a moment only, so few guests are made again.
func TestWaitingRunsKeepTheirSlots(t *testing.T) {
	t.Parallel()
	web := newOutside(t)
	e := open(t, mem.New(), Options{Live: 3})
	const runs = 40
	for k := range runs {
		if _, _, err := e.Start(t.Context(), Start{Module: "guest", Workflow: "chain", Input: []byte(fmt.Sprintf(`{"url":%q,"n":10}`, web.URL)), ID: fmt.Sprint(k)}); err != nil {
			t.Fatal(err)
		}
	}
	for k := range runs {
		r := mustEnd(t, e, fmt.Sprint(k))
		if r.Status != flawless.Completed {
			t.Errorf("run %d is %s: %v", k, r.Status, r.Failure)
		}
	}
	if n := e.Health().Replayed; n > runs {
		t.Errorf("%d replays for %d runs", n, runs)
	}
}

// isResident reports whether the guest of a run is in memory.
func (e *Engine) isResident(id string) bool {
	_, guest := e.runs.InMemory(id)
	return guest
}

// TestRunThatIsWaitedForKeepsItsGuest has a run whose call is in flight, and one that may get a message at any moment. Both
// have been idle longest, and yet those that sleep longest leave first.
func TestRunThatIsWaitedForKeepsItsGuest(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		answer := make(chan struct{})
		give := sync.OnceFunc(func() { close(answer) })
		kinds := effect.Kinds(effect.Options{})
		for i := range kinds {
			if kinds[i].Name == effect.HTTP {
				kinds[i].Perform = func(_ context.Context, t effect.Attempt) effect.Result {
					<-answer
					a, _ := effect.ResponseAnswer(t.Call.N, 200, []byte("done"))
					return effect.Result{Outcome: effect.Answered, Answer: a}
				}
			}
		}
		e := open(t, mem.New(), Options{Live: 4, Rest: 100 * time.Hour, Kinds: kinds})
		defer e.Kill()
		defer give()
		deadline := time.Now().Add(60 * 24 * time.Hour)
		if _, _, err := e.Start(t.Context(), Start{Module: "guest", Workflow: "once", Input: input(t, map[string]any{"url": "https://pay.example"}), ID: "calls", Deadline: deadline}); err != nil {
			t.Fatal(err)
		}
		mustStart(t, e, "mailbox", 1, "waits")
		for k := range 5 { // each sleeps for a day, so the last one that was started sleeps longest
			id, last := fmt.Sprint("sleeps-", k), fmt.Sprint("sleeps-", k-1)
			mustStart(t, e, "sleep", 1, id)
			time.Sleep(time.Hour)
			for _, stays := range []string{"calls", "waits", "sleeps-0", id} {
				if !e.isResident(stays) {
					t.Errorf("after %s was started, the guest of %s has left memory", id, stays)
				}
			}
			if k > 1 && e.isResident(last) {
				t.Errorf("after %s was started, that of %s is still there", id, last)
			}
		}
		give()
		if r := mustEnd(t, e, "calls"); r.Status != flawless.Completed {
			t.Errorf("it is %+v", r)
		}
	})
}
