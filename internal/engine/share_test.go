package engine

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func taken(s *share) int {
	used, _, _ := s.count()
	return used
}

func inLine(s *share) int {
	_, short, _ := s.count()
	return short
}

func TestTheOldestRunIsServedFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &share{limit: 1}
		pressed := 0
		press := func() { pressed++ }
		if err := p.acquire(t.Context(), heavy, 9, press); err != nil || pressed != 0 {
			t.Fatalf("the first one: %v, pressed %d times", err, pressed)
		}
		var order []int64
		for _, since := range []int64{3, 1, 4, 2} {
			go func() {
				ctx, cancel := t.Context(), context.CancelFunc(func() {})
				if since == 2 {
					ctx, cancel = context.WithTimeout(ctx, time.Second)
				}
				defer cancel()
				if p.acquire(ctx, heavy, since, press) == nil {
					order = append(order, since)
				}
			}()
			synctest.Wait()
		}
		if inLine(p) == 0 || pressed != 4 {
			t.Errorf("%d wait, pressed %d times", inLine(p), pressed)
		}
		time.Sleep(2 * time.Second) // the one with a deadline goes away
		for range 3 {
			p.release()
			synctest.Wait()
		}
		p.release()
		if fmt.Sprint(order) != "[1 3 4]" || inLine(p) > 0 || taken(p) != 0 {
			t.Errorf("served %v, %d wait, %d taken", order, inLine(p), taken(p))
		}
	})
}

// load is a model of runs that compete for a share in virtual time.
type load struct {
	s    *share
	stop context.Context
}

// again takes one share after the other, each for so long, until the load ends. It returns the longest wait.
func (l load) again(c class, since int64, hold time.Duration) (longest time.Duration, served int) {
	for l.stop.Err() == nil {
		asked := time.Now()
		if l.s.acquire(l.stop, c, since, nil) != nil {
			return max(longest, time.Since(asked)), served
		}
		longest = max(longest, time.Since(asked))
		served++
		time.Sleep(hold)
		l.s.release()
	}
	return longest, served
}

// TestNewWorkDoesNotWaitBehindEverythingOlder: beside hundreds of older runs that always want to go on, a new one
// waits for a few others, and those go on.
func TestNewWorkDoesNotWaitBehindEverythingOlder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const hold, limit, older = 10 * time.Millisecond, 4, 400
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		l := load{&share{limit: limit}, ctx}
		var all sync.WaitGroup
		waits := make([]time.Duration, older)
		for k := range older {
			all.Go(func() { waits[k], _ = l.again([]class{goesOn, heavy}[k%2], int64(k+1), hold) })
		}
		synctest.Wait()
		for range 100 {
			asked := time.Now()
			if err := l.s.acquire(ctx, begins, time.Now().UnixNano(), nil); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(asked); took > hold {
				t.Fatalf("a new run has waited for %v", took)
			}
			time.Sleep(time.Millisecond)
			l.s.release()
		}
		all.Wait()
		for k, longest := range waits {
			if round := older * hold / limit; longest > 2*round {
				t.Fatalf("an older run, number %d, has waited for %v where all take %v", k, longest, round)
			}
		}
	})
}

// TestNewWorkDoesNotStarveOlderRuns: however much of it comes, a third of what is free is left for each other
// class.
func TestNewWorkDoesNotStarveOlderRuns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		l := load{&share{limit: 2}, ctx}
		var all sync.WaitGroup
		var served [classes]atomic.Int64
		for c, many := range map[class]int{begins: 200, goesOn: 20, heavy: 20} {
			for range many {
				all.Go(func() {
					_, n := l.again(c, time.Now().UnixNano(), time.Millisecond)
					served[c].Add(int64(n))
				})
			}
		}
		all.Wait()
		sum := served[begins].Load() + served[goesOn].Load() + served[heavy].Load()
		for c := range served {
			if n := served[c].Load(); n < sum*3/10 {
				t.Errorf("class %d was served %d times of %d", c, n, sum)
			}
		}
	})
}

// TestAYoungRunIsNotOvertakenForEver: older runs come before it for as long as their head start lasts.
func TestAYoungRunIsNotOvertakenForEver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		began := time.Now().UnixNano()
		time.Sleep(time.Minute)
		l := load{&share{limit: 1}, ctx}
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() { l.again(heavy, began, time.Second) })
		}
		synctest.Wait()
		asked := time.Now()
		if err := l.s.acquire(ctx, heavy, asked.UnixNano(), nil); err != nil {
			t.Fatal("a young run was never served")
		}
		took := time.Since(asked)
		l.s.release()
		if took < headStart/2 || took > headStart+21*time.Second {
			t.Errorf("it has waited for %v", took)
		}
		cancel()
		all.Wait()
	})
}

// TestALimitThatFallsTakesNothingAway: and one that rises serves those who wait.
func TestALimitThatFallsTakesNothingAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &share{limit: 3}
		for range 3 {
			_ = s.acquire(t.Context(), begins, 0, nil)
		}
		s.setLimit(1)
		var got atomic.Int32
		for range 3 {
			go func() {
				if s.acquire(t.Context(), begins, 0, nil) == nil {
					got.Add(1)
				}
			}()
		}
		synctest.Wait()
		s.release()
		s.release()
		synctest.Wait()
		if used, short, _ := s.count(); used != 1 || short != 3 || got.Load() != 0 {
			t.Errorf("%d are in use, %d wait, %d were served", used, short, got.Load())
		}
		s.setLimit(4)
		synctest.Wait()
		if used, short, _ := s.count(); used != 4 || short != 0 || got.Load() != 3 {
			t.Errorf("%d are in use, %d wait, %d were served", used, short, got.Load())
		}
	})
}
