package engine

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

// inMemory is how many guests have a slot.
func inMemory(e *Engine) int {
	used, _, _ := e.residency.slots.count()
	return used
}

// Runs that wait for a moment keep their places: with many more runs than places, few are made again.
func TestManyRunsInFewPlaces(t *testing.T) {
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
	if n := e.counts.replayed.Load(); n > runs {
		t.Errorf("%d replays for %d runs", n, runs)
	}
}

// TestOnlySoManyLeaveAsAreWaitedFor: where one run waits for a place, not all that rest lose theirs.
func TestOnlySoManyLeaveAsAreWaitedFor(t *testing.T) {
	t.Parallel()
	const places = 3 * inAdvance
	e := open(t, mem.New(), Options{Live: places, Rest: time.Hour})
	start := func(k int) {
		t.Helper()
		if _, _, err := e.Start(t.Context(), Start{Module: "guest", Workflow: "sleep", Input: []byte("3600000"), ID: fmt.Sprint(k)}); err != nil {
			t.Fatal(err)
		}
		until(t, e, fmt.Sprint(k), func(r flawless.Run) bool { return r.Status == flawless.Waiting })
	}
	for k := range places {
		start(k)
	}
	rested := func() bool { // all, and long enough to leave
		s := &e.residency
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.rested.Len() == places && time.Since(s.rested.Back().Value.(*run).seat.since) > shortRest
	}
	for !rested() {
		<-time.After(time.Millisecond)
	}
	start(places)
	if n := inMemory(e); n < places-inAdvance {
		t.Errorf("%d of %d guests are left in memory", n, places)
	}
}

// isResident tells whether the guest of a run is in memory.
func (e *Engine) isResident(id string) bool {
	e.mu.Lock()
	r := e.runs[id]
	e.mu.Unlock()
	if r == nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.inst != nil
}

// TestWhoSleepsLongestLeavesFirst: not the run whose call is in flight, nor one that somebody may write to at any
// moment, though they have rested longest.
func TestWhoSleepsLongestLeavesFirst(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		answer := make(chan struct{})
		give := sync.OnceFunc(func() { close(answer) })
		kinds := effect.Kinds(effect.Options{})
		for i := range kinds {
			if kinds[i].Name == effect.HTTP {
				kinds[i].Perform = func(_ context.Context, t effect.Try) effect.Result {
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

// TestAsManyGuestsAsMemoryHolds: their number follows what they are found to take, up and down.
func TestAsManyGuestsAsMemoryHolds(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		const mib = 1 << 20
		var each atomic.Int64
		var e *Engine
		takes := func() int64 {
			if e == nil {
				return 100 * mib
			}
			return 100*mib + int64(inMemory(e))*each.Load()
		}
		e = open(t, mem.New(), Options{Rest: time.Hour, Memory: 200 * mib, resident: takes})
		defer e.Kill()
		started := 0
		start := func(n int) {
			t.Helper()
			for range n {
				mustStart(t, e, "sleep", 30, fmt.Sprint("run", started))
				if started++; takes() > 200*mib {
					t.Fatalf("with %d guests it takes %d MiB", inMemory(e), takes()/mib)
				}
				time.Sleep(10 * time.Millisecond)
			}
		}
		each.Store(mib + mib/10)
		start(130)
		if n := inMemory(e); n < 55 {
			t.Errorf("%d guests are in memory where 68 fit below the mark", n)
		}
		each.Store(mib + mib/4) // they have grown beyond the mark
		start(20)
		each.Store(3 * mib)
		time.Sleep(5 * time.Second)
		if n := inMemory(e); n < atLeast || takes() > 200*mib {
			t.Errorf("%d guests of 3 MiB take %d MiB", n, takes()/mib)
		}
		each.Store(mib / 2)
		start(70)
		if n := inMemory(e); n < 80 {
			t.Errorf("%d guests of half a MiB are in memory", n)
		}
	})
}

// TestLongSleepersMakeRoomForOthers: they would leave anyway before they are needed, and what they leave behind
// serves the next run.
func TestLongSleepersMakeRoomForOthers(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		e := open(t, mem.New(), Options{})
		defer e.Kill()
		for k := range plenty + 20 {
			mustStart(t, e, "sleep", 30, fmt.Sprint("run", k))
		}
		time.Sleep(time.Second)
		if n := inMemory(e); n != plenty {
			t.Errorf("%d guests are in memory", n)
		}
	})
}

// TestASweepBesideAnotherIsNotLost: the timer may fire while guests are still being evicted.
func TestASweepBesideAnotherIsNotLost(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		e := open(t, mem.New(), Options{})
		defer e.Kill()
		mustStart(t, e, "sleep", 30, "run")
		s := &e.residency
		s.sweeping.Lock()
		time.Sleep(time.Minute)
		if inMemory(e) != 1 {
			t.Error("it is not evicted one at a time")
		}
		s.sweeping.Unlock()
		s.mu.Lock()
		s.arm()
		s.mu.Unlock()
		time.Sleep(time.Minute)
		if inMemory(e) != 0 {
			t.Error("nobody evicts any more")
		}
	})
}

// TestNobodyEvictsWhenTheEngineStops: the guests that are left are given back by the engine, which must not do so
// beside somebody else.
func TestNobodyEvictsWhenTheEngineStops(t *testing.T) {
	t.Parallel()
	e := open(t, mem.New(), Options{Rest: time.Hour})
	mustStart(t, e, "sleep", 30, "run")
	until(t, e, "run", func(r flawless.Run) bool { return r.Status == flawless.Waiting })
	s := &e.residency
	s.sweeping.Lock()
	closed := make(chan struct{})
	go func() {
		s.close()
		close(closed)
	}()
	for isClosed := false; !isClosed; {
		s.mu.Lock()
		isClosed = s.closed
		s.mu.Unlock()
		runtime.Gosched()
	}
	select {
	case <-closed:
		t.Error("it does not wait for whoever evicts")
	default:
	}
	s.sweeping.Unlock()
	<-closed
	s.mu.Lock()
	s.keep = 0
	s.mu.Unlock()
	s.sweep()
	if n := inMemory(e); n != 1 {
		t.Errorf("%d guests are left", n)
	}
}
