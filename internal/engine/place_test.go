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
		if !p.scarce() || pressed != 4 {
			t.Errorf("scarce %v, pressed %d times", p.scarce(), pressed)
		}
		time.Sleep(2 * time.Second) // the one with a deadline goes away
		for range 3 {
			p.give()
			synctest.Wait()
		}
		p.give()
		if fmt.Sprint(order) != "[1 3 4]" || p.scarce() || p.taken() != 0 {
			t.Errorf("served %v, scarce %v, %d taken", order, p.scarce(), p.taken())
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
