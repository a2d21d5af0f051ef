package residency

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func inUse(s *Permits) int {
	used, _, _ := s.Count()
	return used
}

func waitingFor(s *Permits) int {
	_, short, _ := s.Count()
	return short
}

func TestPermitsServeOldestRunFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &Permits{limit: 1}
		waits := 0
		wait := func() { waits++ }
		if err := p.Acquire(t.Context(), Heavy, 9, wait); err != nil || waits != 0 {
			t.Fatalf("the first one: %v, wait was called %d times", err, waits)
		}
		var order []int64
		for _, since := range []int64{3, 1, 4, 2} {
			go func() {
				ctx, cancel := t.Context(), context.CancelFunc(func() {})
				if since == 2 {
					ctx, cancel = context.WithTimeout(ctx, time.Second)
				}
				defer cancel()
				if p.Acquire(ctx, Heavy, since, wait) == nil {
					order = append(order, since)
				}
			}()
			synctest.Wait()
		}
		if waitingFor(p) == 0 || waits != 4 {
			t.Errorf("%d wait, wait was called %d times", waitingFor(p), waits)
		}
		time.Sleep(2 * time.Second) // the one with a deadline goes away
		for range 3 {
			p.Release()
			synctest.Wait()
		}
		p.Release()
		if fmt.Sprint(order) != "[1 3 4]" || waitingFor(p) > 0 || inUse(p) != 0 {
			t.Errorf("served %v, %d wait, %d taken", order, waitingFor(p), inUse(p))
		}
	})
}

// load is a model of runs that compete for permits in virtual time.
type load struct {
	s    *Permits
	stop context.Context
}

// use acquires one permit after the other, each for the time given, until the load ends. It returns the longest wait
// and how often it was served.
func (l load) use(c Class, since int64, hold time.Duration) (longest time.Duration, served int) {
	for l.stop.Err() == nil {
		asked := time.Now()
		if l.s.Acquire(l.stop, c, since, nil) != nil {
			return max(longest, time.Since(asked)), served
		}
		longest = max(longest, time.Since(asked))
		served++
		time.Sleep(hold)
		l.s.Release()
	}
	return longest, served
}

// TestNewRunsDoNotWaitBehindOlderOnes has hundreds of older runs that always want a permit. A new one waits for a few
// others only, and the older ones keep being served.
func TestNewRunsDoNotWaitBehindOlderOnes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const hold, limit, older = 10 * time.Millisecond, 4, 400
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		l := load{&Permits{limit: limit}, ctx}
		var all sync.WaitGroup
		waits := make([]time.Duration, older)
		for k := range older {
			all.Go(func() { waits[k], _ = l.use([]Class{NextTurn, Heavy}[k%2], int64(k+1), hold) })
		}
		synctest.Wait()
		for range 100 {
			asked := time.Now()
			if err := l.s.Acquire(ctx, FirstTurn, time.Now().UnixNano(), nil); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(asked); took > hold {
				t.Fatalf("a new run has waited for %v", took)
			}
			time.Sleep(time.Millisecond)
			l.s.Release()
		}
		all.Wait()
		for k, longest := range waits {
			if round := older * hold / limit; longest > 2*round {
				t.Fatalf("an older run, number %d, has waited for %v where all take %v", k, longest, round)
			}
		}
	})
}

// TestNewRunsDoNotStarveOlderOnes checks that every class gets a third of the permits, however many new runs come.
func TestNewRunsDoNotStarveOlderOnes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		l := load{&Permits{limit: 2}, ctx}
		var all sync.WaitGroup
		var served [classes]atomic.Int64
		for c, many := range map[Class]int{FirstTurn: 200, NextTurn: 20, Heavy: 20} {
			for range many {
				all.Go(func() {
					_, n := l.use(c, time.Now().UnixNano(), time.Millisecond)
					served[c].Add(int64(n))
				})
			}
		}
		all.Wait()
		sum := served[FirstTurn].Load() + served[NextTurn].Load() + served[Heavy].Load()
		for c := range served {
			if n := served[c].Load(); n < sum*3/10 {
				t.Errorf("class %d was served %d times of %d", c, n, sum)
			}
		}
	})
}

// TestHeadStartIsBounded checks that older runs overtake a younger one only while their head start lasts.
func TestHeadStartIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		began := time.Now().UnixNano()
		time.Sleep(time.Minute)
		l := load{&Permits{limit: 1}, ctx}
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() { l.use(Heavy, began, time.Second) })
		}
		synctest.Wait()
		asked := time.Now()
		if err := l.s.Acquire(ctx, Heavy, asked.UnixNano(), nil); err != nil {
			t.Fatal("a young run was never served")
		}
		took := time.Since(asked)
		l.s.Release()
		if took < headStart/2 || took > headStart+21*time.Second {
			t.Errorf("it has waited for %v", took)
		}
		cancel()
		all.Wait()
	})
}

// TestLoweredLimitKeepsPermitsInUse also checks that a raised limit serves those that wait.
func TestLoweredLimitKeepsPermitsInUse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &Permits{limit: 3}
		for range 3 {
			_ = s.Acquire(t.Context(), FirstTurn, 0, nil)
		}
		s.SetLimit(1)
		var got atomic.Int32
		for range 3 {
			go func() {
				if s.Acquire(t.Context(), FirstTurn, 0, nil) == nil {
					got.Add(1)
				}
			}()
		}
		synctest.Wait()
		s.Release()
		s.Release()
		synctest.Wait()
		if used, short, _ := s.Count(); used != 1 || short != 3 || got.Load() != 0 {
			t.Errorf("%d are in use, %d wait, %d were served", used, short, got.Load())
		}
		s.SetLimit(4)
		synctest.Wait()
		if used, short, _ := s.Count(); used != 4 || short != 0 || got.Load() != 3 {
			t.Errorf("%d are in use, %d wait, %d were served", used, short, got.Load())
		}
	})
}
