package residency

import (
	"context"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

const mib = 1 << 20

// house is a Residency with guests whose runs have no work: each is idle from the moment it is in memory.
type house struct {
	*Residency
	t *testing.T
}

// open returns a house in virtual time. Memory is unlimited unless o says otherwise.
func open(t *testing.T, o Options) *house {
	o.Now = func() int64 { return time.Now().UnixNano() }
	o.Stopped = func() bool { return false }
	if o.Trim == nil {
		o.Trim = func() {}
	}
	if o.Idle == 0 {
		o.Idle = 5 * time.Second
	}
	if o.Memory == 0 {
		o.Memory = -1
	}
	h := &house{New(o), t}
	t.Cleanup(h.Close)
	return h
}

func (h *house) inMemory() int {
	used, _, _ := h.Slots()
	return used
}

// guest is a guest of a house.
type guest struct {
	h    *house
	slot Slot
	in   atomic.Bool // in memory
	busy atomic.Bool // in use again, so it does not leave
}

func (g *guest) Evict() bool {
	if g.busy.Load() || !g.in.CompareAndSwap(true, false) {
		return false
	}
	g.h.Release()
	return true
}

// enter brings a guest into memory, which waits for a slot, and offers it. It sleeps for that long; 0 if it may be
// needed at any moment.
func (h *house) enter(sleeps time.Duration) *guest {
	h.t.Helper()
	g := &guest{h: h}
	g.slot.Guest = g
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	if err := h.Acquire(ctx, FirstTurn, 0, func() {}); err != nil {
		h.t.Fatal(err)
	}
	g.in.Store(true)
	wake := int64(0)
	if sleeps > 0 {
		wake = time.Now().Add(sleeps).UnixNano()
	}
	h.Offer(&g.slot, wake)
	return g
}

func virtually(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, f)
}

func TestIdleGuestsLeaveAfterIdleTime(t *testing.T) {
	virtually(t, func(t *testing.T) {
		h := open(t, Options{Idle: 5 * time.Second})
		sleeps, waits, busy, used := h.enter(time.Hour), h.enter(0), h.enter(0), h.enter(0)
		busy.busy.Store(true)
		h.Withdraw(&used.slot)
		time.Sleep(5*time.Second - time.Millisecond)
		if n := h.inMemory(); n != 4 {
			t.Errorf("%d of 4 guests are in memory before their time", n)
		}
		time.Sleep(10 * time.Millisecond)
		if sleeps.in.Load() || waits.in.Load() || !busy.in.Load() || !used.in.Load() {
			t.Errorf("in memory are: one that sleeps %v, one that waits %v, one in use %v, one that is not offered %v",
				sleeps.in.Load(), waits.in.Load(), busy.in.Load(), used.in.Load())
		}
	})
}

// TestOnlyAsManyGuestsLeaveAsAreNeeded has one guest wait for a slot. Not all idle guests lose theirs.
func TestOnlyAsManyGuestsLeaveAsAreNeeded(t *testing.T) {
	virtually(t, func(t *testing.T) {
		const slots = 3 * maxAhead
		h := open(t, Options{Live: slots, Idle: time.Hour})
		for range slots {
			h.enter(0)
		}
		time.Sleep(2 * shortIdle)
		h.enter(0)
		if n := h.inMemory(); n < slots-maxAhead {
			t.Errorf("%d of %d guests are left in memory", n, slots)
		}
	})
}

// TestShortlyIdleGuestsStay checks that a guest whose call may be answered at any moment is left alone for a while
// although another one waits for its slot.
func TestShortlyIdleGuestsStay(t *testing.T) {
	virtually(t, func(t *testing.T) {
		h := open(t, Options{Live: 1, Idle: time.Hour})
		h.enter(0)
		began := time.Now()
		h.enter(0)
		if took := time.Since(began); took < shortIdle || took > 2*shortIdle {
			t.Errorf("the second guest got the slot of the first after %v", took)
		}
	})
}

func TestLongestSleeperLeavesFirst(t *testing.T) {
	virtually(t, func(t *testing.T) {
		h := open(t, Options{Live: 4, Idle: 100 * time.Hour})
		waits, first := h.enter(0), h.enter(24*time.Hour)
		time.Sleep(time.Hour)
		var last *guest
		for k := range 5 { // each sleeps for a day, so the one that came last sleeps longest
			g := h.enter(24 * time.Hour)
			time.Sleep(time.Hour)
			if !waits.in.Load() || !first.in.Load() || !g.in.Load() {
				t.Errorf("after guest %d came, in memory are: the one that waits %v, the first %v, the last %v", k, waits.in.Load(), first.in.Load(), g.in.Load())
			}
			if k > 1 && last.in.Load() {
				t.Errorf("after guest %d came, the one that sleeps longest is still in memory", k)
			}
			last = g
		}
	})
}

// TestSlotsFollowMemory checks that the number of guests follows the memory that they are found to take, up and down.
func TestSlotsFollowMemory(t *testing.T) {
	virtually(t, func(t *testing.T) {
		var each, count atomic.Int64
		takes := func() int64 { return 100*mib + count.Load()*each.Load() }
		var h *house
		h = open(t, Options{Idle: time.Hour, Memory: 200 * mib, Resident: func() int64 {
			if h != nil { // New measures, too
				count.Store(int64(h.inMemory()))
			}
			return takes()
		}})
		enter := func(n int) {
			t.Helper()
			for range n {
				h.enter(30 * 24 * time.Hour)
				count.Store(int64(h.inMemory()))
				if takes() > 200*mib {
					t.Fatalf("%d guests take %d MiB", h.inMemory(), takes()/mib)
				}
				time.Sleep(10 * time.Millisecond)
			}
		}
		each.Store(mib + mib/10)
		enter(130)
		if n := h.inMemory(); n < 55 {
			t.Errorf("%d guests are in memory, but 68 fit below the mark", n)
		}
		each.Store(mib + mib/4) // they have grown beyond the mark
		enter(20)
		each.Store(3 * mib)
		time.Sleep(5 * time.Second)
		count.Store(int64(h.inMemory()))
		if n := h.inMemory(); n < minSlots || takes() > 200*mib {
			t.Errorf("%d guests of 3 MiB take %d MiB", n, takes()/mib)
		}
		each.Store(mib / 2)
		enter(70)
		if n := h.inMemory(); n < 80 {
			t.Errorf("%d guests of half a MiB are in memory", n)
		}
	})
}

// TestLongSleepersMakeRoomForOthers checks that guests which would leave anyway before they are needed do so early, so
// that their instances serve others.
func TestLongSleepersMakeRoomForOthers(t *testing.T) {
	virtually(t, func(t *testing.T) {
		h := open(t, Options{})
		for range maxSleepers + 20 {
			h.enter(time.Hour)
		}
		time.Sleep(time.Second)
		if n := h.inMemory(); n != maxSleepers {
			t.Errorf("%d guests are in memory", n)
		}
	})
}

// TestTimerDuringSweepIsNotLost has the timer fire while guests are still being evicted.
func TestTimerDuringSweepIsNotLost(t *testing.T) {
	virtually(t, func(t *testing.T) {
		h := open(t, Options{})
		h.enter(time.Hour)
		h.sweeping.Lock()
		time.Sleep(time.Minute)
		if h.inMemory() != 1 {
			t.Error("two sweeps evict at the same time")
		}
		h.sweeping.Unlock()
		h.mu.Lock()
		h.arm()
		h.mu.Unlock()
		time.Sleep(time.Minute)
		if h.inMemory() != 0 {
			t.Error("nothing is evicted any more")
		}
	})
}

// TestCloseEndsEvicting: the guests that are left belong to the caller of Close, who must be the only one to touch them.
func TestCloseEndsEvicting(t *testing.T) {
	t.Parallel()
	h := open(t, Options{Idle: time.Hour})
	h.enter(0)
	h.sweeping.Lock()
	closed := make(chan struct{})
	go func() {
		h.Close()
		close(closed)
	}()
	for isClosed := false; !isClosed; {
		h.mu.Lock()
		isClosed = h.closed
		h.mu.Unlock()
		runtime.Gosched()
	}
	select {
	case <-closed:
		t.Error("Close does not wait for the sweep that is under way")
	default:
	}
	h.sweeping.Unlock()
	<-closed
	h.o.Idle = 0
	h.sweep()
	if n := h.inMemory(); n != 1 {
		t.Errorf("%d guests are left", n)
	}
}

// TestStoppedEvictsAtOnce: nobody needs the guests when all work is over.
func TestStoppedEvictsAtOnce(t *testing.T) {
	virtually(t, func(t *testing.T) {
		h := open(t, Options{Idle: time.Hour})
		h.enter(0)
		h.o.Stopped = func() bool { return true }
		h.sweep()
		if n := h.inMemory(); n != 0 {
			t.Errorf("%d guests are left", n)
		}
	})
}

// TestMemoryIsReturnedWhenLastGuestLeaves also checks that this happens once a minute at most.
func TestMemoryIsReturnedWhenLastGuestLeaves(t *testing.T) {
	virtually(t, func(t *testing.T) {
		trims := 0
		h := open(t, Options{Collect: true, Trim: func() { trims++ }})
		calmed := func() time.Time {
			h.mu.Lock()
			defer h.mu.Unlock()
			return h.calmed
		}
		began := time.Now()
		for range 3 {
			h.enter(time.Hour)
		}
		time.Sleep(time.Second)
		if trims != 0 || !calmed().IsZero() {
			t.Errorf("memory was returned %d times while guests are in memory", trims)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		first := calmed()
		if trims != 1 || !first.After(began) {
			t.Errorf("memory was returned %d times, last at %v", trims, first)
		}
		h.enter(time.Hour)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if trims != 2 || !calmed().Equal(first) {
			t.Errorf("a second collection followed after %v, and %d releases", calmed().Sub(first), trims)
		}
	})
}
