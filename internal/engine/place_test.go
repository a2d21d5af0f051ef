package engine

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

func TestTheOldestRunGetsTheNextPlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &places{all: 1}
		pressed := 0
		press := func() { pressed++ }
		if err := p.take(t.Context(), 9, press); err != nil || pressed != 0 {
			t.Fatalf("the first place: %v, pressed %d times", err, pressed)
		}
		var order []int64
		for _, since := range []int64{3, 1, 4, 2} {
			go func() {
				ctx, cancel := t.Context(), context.CancelFunc(func() {})
				if since == 2 {
					ctx, cancel = context.WithTimeout(ctx, time.Second)
				}
				defer cancel()
				if p.take(ctx, since, press) == nil {
					order = append(order, since)
				}
			}()
			synctest.Wait()
		}
		if p.short() == 0 || pressed != 4 {
			t.Errorf("%d wait, pressed %d times", p.short(), pressed)
		}
		time.Sleep(2 * time.Second) // the one with a deadline goes away
		for range 3 {
			p.give()
			synctest.Wait()
		}
		p.give()
		if fmt.Sprint(order) != "[1 3 4]" || p.short() > 0 || p.taken() != 0 {
			t.Errorf("served %v, %d wait, %d taken", order, p.short(), p.taken())
		}
	})
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
		e.mu.Lock()
		defer e.mu.Unlock()
		return e.rested.Len() == places && time.Since(e.rested.Back().Value.(*run).rested) > shortRest
	}
	for !rested() {
		<-time.After(time.Millisecond)
	}
	start(places)
	if n := e.places.taken(); n < places-inAdvance {
		t.Errorf("%d of %d guests are left in memory", n, places)
	}
}
