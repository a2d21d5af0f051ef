package residency

import (
	"cmp"
	"container/heap"
	"container/list"
	"context"
	"math"
	"runtime"
	"runtime/debug"
	"sync"
	"time"
)

// Guest is a guest in memory, as its run owns it.
type Guest interface {
	// Evict evicts the guest from memory, unless it is in use again. It reports whether the guest leaves: now,
	// or once an image of it is written. It is called without the lock of Residency.
	Evict() bool
}

// Options configures a Residency.
type Options struct {
	Live   int           // maximum number of slots; 0 leaves it to Memory
	Memory int64         // target for the memory of the process in bytes; 0 is half of what it may use, a negative value is unlimited
	Idle   time.Duration // an idle guest leaves memory after this time

	Now     func() int64 // Unix nanoseconds, the clock by which runs sleep
	Stopped func() bool  // reports that all work has ended, so idle guests may leave at once
	Trim    func()       // releases memory that is kept ready for further guests
	Collect bool         // return freed memory to the system when the last guest has left

	Resident func() int64 // memory of the process in bytes; nil asks the system
}

// Residency hands out slots and evicts guests. All methods may be called concurrently.
//
// A guest has a slot from [Residency.Acquire] to [Residency.Release]. In between it is either in use, or idle:
// from [Residency.Offer] on it may be evicted, until [Residency.Withdraw].
//
// Its lock is the innermost one: owners of guests call Offer and Withdraw while they hold their own. So
// Residency takes a guest off its lists first, and calls Guest.Evict afterwards, without the lock.
type Residency struct {
	Compute *Permits // to compute; has a lock of its own

	// Set by New, and not changed afterwards.
	o      Options
	max    int   // of slots, regardless of memory
	budget int64 // target for the memory of the process in bytes; 0 is unlimited

	slots    Permits    // has a lock of its own, which is taken under mu
	sweeping sync.Mutex // held by the goroutine that evicts

	mu       sync.Mutex
	idle     list.List // of *Slot, longest first
	asleep   sleepers  // those of them that sleep, and whose guests nobody else needs
	timer    *time.Timer
	due      time.Time // when it fires; zero if it does not
	swept    time.Time // when it fired last
	measured time.Time // when the memory was measured last
	base     int64     // lowest memory measured: that of the process without guests
	excess   int       // number of guests to evict to get below the budget
	calmed   time.Time // when memory was returned to the system last
	closed   bool
}

// Slot is the residency slot of one guest, as Residency lists it. The lock of Residency guards all but Guest. The owner
// of the guest keeps it, and sets Guest before it is first offered.
type Slot struct {
	Guest Guest

	entry *list.Element // in idle; nil outside
	since time.Time     // of the offer
	wake  int64         // when the guest is needed again, 0 if unknown
	index int           // in asleep, -1 outside
}

const (
	// shortIdle is how long a guest keeps its slot while others wait, if one of its calls may be answered at any
	// moment: keeping it for so short a time is cheaper than recreating it.
	shortIdle = 50 * time.Millisecond
	// maxAhead is the maximum number of guests evicted in advance, beyond those that others wait for: their
	// instances are kept ready.
	maxAhead = 16
	// pause is the time between two sweeps: a guest that is frozen first leaves a moment after it was evicted.
	pause = 2 * time.Millisecond
	// measureEvery is how often memory is measured while guests are in it.
	measureEvery = 250 * time.Millisecond
	// minSlots is the minimum number of slots, regardless of memory: work continues, slowly.
	minSlots = 16
	// maxSleepers is the maximum number of guests that stay although they sleep for longer than Options.Idle. The
	// instances of others are reused for other runs, which costs less than making one.
	maxSleepers = 256
	// unmeasured is how many guests are admitted before memory is measured again, and the maximum where the system
	// does not report the memory of the process.
	unmeasured = 256
	// assumedSize is the assumed size of a guest until enough of them are in memory to measure it.
	assumedSize = 1 << 20
)

// New returns a Residency without guests.
func New(o Options) *Residency {
	s := &Residency{o: o, max: mappable("/"), budget: o.Memory, Compute: NewPermits(2 * runtime.GOMAXPROCS(0))}
	if s.budget == 0 {
		s.budget = available("/") / 2
	}
	live := o.Live
	if s.o.Resident == nil {
		if s.o.Resident = resident; resident() == 0 {
			s.budget, live = 0, cmp.Or(live, unmeasured)
		}
	}
	if live > 0 {
		s.max = min(s.max, live)
	}
	s.slots.limit = s.max
	s.measure()
	return s
}

// Acquire waits for a slot for the guest of a run that was started at since, in Unix nanoseconds. If none is free
// it calls wait before it waits.
func (s *Residency) Acquire(ctx context.Context, c Class, since int64, wait func()) error {
	return s.slots.Acquire(ctx, c, since, func() {
		wait()
		s.measure()
		s.mu.Lock()
		s.arm()
		s.mu.Unlock()
	})
}

// Release gives a slot back.
func (s *Residency) Release() { s.slots.Release() }

// Slots returns how many slots are in use, how many guests wait for one, and how many there are.
func (s *Residency) Slots() (used, waiting, limit int) { return s.slots.Count() }

// Offer says that a guest is idle and may be evicted. It is needed again at wake, in Unix nanoseconds; 0 if
// it is unknown when. Offering it again restarts its idle time.
func (s *Residency) Offer(slot *Slot, wake int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.remove(slot)
	slot.since, slot.wake, slot.index = time.Now(), wake, -1
	slot.entry = s.idle.PushBack(slot)
	if wake != 0 {
		heap.Push(&s.asleep, slot)
	}
	s.arm()
}

// Withdraw takes an offer back, if there is one.
func (s *Residency) Withdraw(slot *Slot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(slot)
}

// remove takes a slot off the lists. The caller holds mu.
func (s *Residency) remove(slot *Slot) {
	if slot.entry == nil {
		return
	}
	s.idle.Remove(slot.entry)
	slot.entry = nil
	if slot.index >= 0 {
		heap.Remove(&s.asleep, slot.index)
	}
}

// measure adapts the number of slots to the memory that the process takes.
//
//	0 ......... low ............ budget
//	  more slots | as many as now | fewer, and guests leave
func (s *Residency) measure() {
	const seldom = 10 * time.Millisecond // it costs a system call
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.budget <= 0 || !s.measured.IsZero() && time.Since(s.measured) < seldom {
		return
	}
	s.measured = time.Now()
	takes := s.o.Resident()
	used, _, _ := s.slots.Count()
	if s.base == 0 || takes < s.base {
		s.base = takes
	}
	low := s.budget / 8 * 7
	slots := 0
	switch {
	case takes > s.budget:
		over := float64(takes-low) / float64(takes)
		s.excess = max(1, int(math.Ceil(float64(used)*over)))
		slots = used - s.excess
	case takes > low:
		slots = used
	default:
		each := int64(assumedSize)
		if used >= minSlots {
			each = max((takes-s.base)/int64(used), 64<<10)
		}
		// Guests grow after they are admitted, so do not admit all of them at once.
		slots = used + int(min((low-takes)/each, int64(max(used, unmeasured))))
	}
	s.slots.SetLimit(min(max(slots, minSlots), s.max))
}

// tight reports whether guests must be evicted for lack of memory. The caller holds mu.
func (s *Residency) tight() bool { return s.excess > 0 }

// arm sets the timer for the next eviction. The caller holds mu.
func (s *Residency) arm() {
	if s.closed {
		return
	}
	at := s.next()
	switch {
	case at.IsZero():
		return
	case s.timer == nil:
		s.timer = time.AfterFunc(time.Until(at), s.sweep)
	case s.due.IsZero() || at.Before(s.due):
		s.timer.Reset(time.Until(at))
	default:
		return
	}
	s.due = at
}

// next returns when there is something to do, zero for never. The caller holds mu.
func (s *Residency) next() (at time.Time) {
	used, waiting, limit := s.slots.Count()
	sooner := func(t time.Time) {
		if at.IsZero() || t.Before(at) {
			at = t
		}
	}
	if s.budget > 0 && used > 0 {
		sooner(s.measured.Add(measureEvery))
	}
	if first := s.idle.Front(); first != nil {
		since := first.Value.(*Slot).since
		sooner(since.Add(s.o.Idle))
		switch {
		case used > maxSleepers && s.sleeper(s.o.Idle) != nil:
			sooner(s.swept.Add(pause))
		case s.tight() || (waiting > 0 || used > limit) && s.sleeper(shortIdle) != nil:
			sooner(s.swept.Add(pause))
		case waiting > 0 || used > limit:
			sooner(later(since.Add(shortIdle), s.swept.Add(pause)))
		}
	}
	return at
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// sleeper returns the guest that sleeps longest, nil if none sleeps for at least that long. The caller holds mu.
func (s *Residency) sleeper(long time.Duration) *Slot {
	if len(s.asleep) == 0 || s.asleep[0].wake-s.o.Now() < int64(long) {
		return nil
	}
	return s.asleep[0]
}

// sweep evicts the guests that are due.
func (s *Residency) sweep() {
	s.mu.Lock()
	s.due, s.swept = time.Time{}, time.Now()
	s.mu.Unlock()
	if !s.sweeping.TryLock() {
		return // the other sweep arms the timer again
	}
	s.mu.Lock()
	closed := s.closed
	s.mu.Unlock()
	if closed {
		s.sweeping.Unlock()
		return
	}
	if used, _, _ := s.slots.Count(); used > 0 {
		s.measure()
	}
	s.mu.Lock()
	tight := s.tight()
	used, waiting, limit := s.slots.Count()
	owed := max(waiting, used-limit, 0)
	if waiting > 0 {
		owed += min(maxAhead, limit/8)
	}
	owed = max(owed, s.excess)
	s.mu.Unlock()
	evicted := 0
	for {
		slot := s.pick(evicted < owed, used-evicted > maxSleepers, tight)
		if slot == nil {
			break
		}
		if slot.Guest.Evict() {
			evicted++
		}
	}
	s.mu.Lock()
	s.excess = 0
	s.mu.Unlock()
	s.sweeping.Unlock()
	if tight {
		s.o.Trim()
	}
	if used, _, _ := s.slots.Count(); evicted > 0 && used == 0 {
		s.calm()
	}
	s.mu.Lock()
	s.arm()
	s.mu.Unlock()
}

// pick takes the next guest to evict off the lists. It returns nil if there is none.
func (s *Residency) pick(owed, many, tight bool) *Slot {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := s.idle.Front()
	if first == nil {
		return nil
	}
	slot := first.Value.(*Slot)
	minIdle := s.o.Idle
	if owed {
		if minIdle = min(shortIdle, s.o.Idle); tight {
			minIdle = 0
		}
		if long := s.sleeper(shortIdle); long != nil {
			slot, minIdle = long, 0
		}
	} else if many {
		if long := s.sleeper(s.o.Idle); long != nil {
			slot, minIdle = long, 0
		}
	}
	if time.Since(slot.since) < minIdle && !s.o.Stopped() {
		return nil
	}
	s.remove(slot)
	return slot
}

// calm is called when the last guest has left memory. It returns the memory of guests to the system, so the next run waits
// some hundred microseconds for an instance.
func (s *Residency) calm() {
	const minInterval = time.Minute // a collection is some ten milliseconds of work
	s.o.Trim()
	s.mu.Lock()
	collect := s.o.Collect && time.Since(s.calmed) > minInterval
	if collect {
		s.calmed = time.Now()
	}
	s.mu.Unlock()
	if collect {
		debug.FreeOSMemory()
	}
}

// Close stops evicting. When it returns, no guest is being evicted, and none will be. It must not be called under a
// lock that Guest.Evict needs.
func (s *Residency) Close() {
	s.mu.Lock()
	s.closed = true
	if s.timer != nil {
		s.timer.Stop()
	}
	s.mu.Unlock()
	s.sweeping.Lock() // waits for the current sweep
	defer s.sweeping.Unlock()
}

// sleepers is a heap of idle guests, the one that sleeps longest first.
type sleepers []*Slot

func (s sleepers) Len() int           { return len(s) }
func (s sleepers) Less(i, j int) bool { return s[i].wake > s[j].wake }

func (s sleepers) Swap(i, j int) {
	s[i], s[j] = s[j], s[i]
	s[i].index, s[j].index = i, j
}

func (s *sleepers) Push(x any) {
	x.(*Slot).index = len(*s)
	*s = append(*s, x.(*Slot))
}

func (s *sleepers) Pop() any {
	old := *s
	last := old[len(old)-1]
	last.index = -1
	old[len(old)-1] = nil
	*s = old[:len(old)-1]
	return last
}
