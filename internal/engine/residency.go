package engine

import (
	"cmp"
	"container/heap"
	"container/list"
	"context"
	"math"
	"runtime/debug"
	"sync"
	"time"
)

// residency decides which guests are in memory.
//
// A guest has a slot from [residency.acquire] to [residency.release]. In between its run's driver owns it, or it
// rests: nobody drives the run, and evict may take the guest from it. How many slots there are follows what the
// process takes. Where they do not suffice, guests leave that are needed last: first those that sleep longest,
// then those that have rested longest.
//
// Its lock is the innermost one: it is taken while e.mu and the lock of a run are held, never the other way
// round. So evict takes a run out of the lists first, and looks afterwards whether its guest still rests.
type residency struct {
	e        *Engine
	slots    share         // has a lock of its own, which is taken under mu
	keep     time.Duration // a guest that rests leaves after it
	most     int           // slots, however much memory there is
	budget   int64         // bytes that the process should take; 0 is unlimited
	resident func() int64

	sweeping sync.Mutex // held by the goroutine that evicts

	mu       sync.Mutex
	rested   list.List // of *run, longest first
	asleep   sleepers  // those of them that sleep, and are waited for by nobody
	timer    *time.Timer
	due      time.Time // when it fires; zero where it does not
	swept    time.Time // when it fired last
	measured time.Time // when the memory was looked at last
	least    int64     // that the process was seen to take: without guests
	excess   int       // guests that have to leave so that it takes less
	calmed   time.Time // when memory was given back to the system last
	closed   bool
}

// seat is where a run stands in the lists of residency, under its lock.
type seat struct {
	rested *list.Element // nil where its guest does not rest
	since  time.Time
	wake   int64 // when it is needed again, 0 where nobody knows
	index  int   // in asleep, -1 outside
}

const (
	// shortRest is how long a guest whose call may be answered at any moment is left alone although others
	// wait for its slot: what follows so soon is cheaper than to make it again.
	shortRest = 50 * time.Millisecond
	// inAdvance is how many guests leave at most beyond those that are waited for: their instances are kept ready.
	inAdvance = 16
	// pause lies between two sweeps: a guest of which an image is made leaves a moment after it was told to.
	pause = 2 * time.Millisecond
	// watchEvery is how often memory is looked at while guests are in it.
	watchEvery = 250 * time.Millisecond
	// atLeast is how many slots there are whatever the process takes: work goes on, slowly.
	atLeast = 16
	// plenty is how many guests rest although they sleep for longer than they may rest. Beyond it their instances
	// serve other runs: to make one costs more than to use one again.
	plenty = 256
	// unmeasured is how many guests are let in before memory is looked at again, and how many there are at most
	// where the system does not tell.
	unmeasured = 256
	// supposed is what a guest is taken to hold before enough of them are in memory to know.
	supposed = 1 << 20
)

func (s *residency) init(e *Engine, o *Options) {
	s.e, s.keep, s.resident = e, e.restFor, o.resident
	s.most, s.budget = mappable("/"), o.Memory
	if s.budget == 0 {
		s.budget = available("/") / 2
	}
	live := o.Live
	if s.resident == nil {
		if s.resident = resident; resident() == 0 {
			s.budget, live = 0, cmp.Or(live, unmeasured)
		}
	}
	if live > 0 {
		s.most = min(s.most, live)
	}
	s.slots.limit = s.most
	s.measure()
}

// acquire waits for a slot for the guest of a run that was started at since. It calls wait where none is free.
func (s *residency) acquire(ctx context.Context, c class, since int64, wait func()) error {
	return s.slots.acquire(ctx, c, since, func() {
		wait()
		s.measure()
		s.mu.Lock()
		s.arm()
		s.mu.Unlock()
	})
}

// release gives a slot back.
func (s *residency) release() { s.slots.release() }

// rest takes note that nobody drives a run whose guest is in memory. It is needed again at wake, in Unix
// nanoseconds, or nobody knows when: 0.
func (s *residency) rest(r *run, wake int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.remove(r)
	r.seat = seat{rested: s.rested.PushBack(r), since: time.Now(), wake: wake, index: -1}
	if wake != 0 {
		heap.Push(&s.asleep, r)
	}
	s.arm()
}

// leave takes note that a run has no guest any more.
func (s *residency) leave(r *run) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(r)
}

// remove takes a run out of the lists. The caller holds mu.
func (s *residency) remove(r *run) {
	if r.seat.rested == nil {
		return
	}
	s.rested.Remove(r.seat.rested)
	r.seat.rested = nil
	if r.seat.index >= 0 {
		heap.Remove(&s.asleep, r.seat.index)
	}
}

// measure adapts the number of slots to the memory that the process takes.
//
//	0 ......... low ............ budget
//	  more slots | as many as now | fewer, and guests leave
func (s *residency) measure() {
	const seldom = 10 * time.Millisecond // it costs a system call
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.budget <= 0 || !s.measured.IsZero() && time.Since(s.measured) < seldom {
		return
	}
	s.measured = time.Now()
	takes := s.resident()
	used, _, _ := s.slots.count()
	if s.least == 0 || takes < s.least {
		s.least = takes
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
		each := int64(supposed)
		if used >= atLeast {
			each = max((takes-s.least)/int64(used), 64<<10)
		}
		// Guests grow after they are let in, so not all of them are let in at once.
		slots = used + int(min((low-takes)/each, int64(max(used, unmeasured))))
	}
	s.slots.setLimit(min(max(slots, atLeast), s.most))
}

// tight tells whether guests have to leave because of memory. The caller holds mu.
func (s *residency) tight() bool { return s.excess > 0 }

// arm sees to it that the next guest leaves in time. The caller holds mu.
func (s *residency) arm() {
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

// next is when there is something to do, zero for never. The caller holds mu.
func (s *residency) next() (at time.Time) {
	used, short, limit := s.slots.count()
	sooner := func(t time.Time) {
		if at.IsZero() || t.Before(at) {
			at = t
		}
	}
	if s.budget > 0 && used > 0 {
		sooner(s.measured.Add(watchEvery))
	}
	if first := s.rested.Front(); first != nil {
		since := first.Value.(*run).seat.since
		sooner(since.Add(s.keep))
		switch {
		case used > plenty && s.sleeper(s.keep) != nil:
			sooner(s.swept.Add(pause))
		case s.tight() || (short > 0 || used > limit) && s.sleeper(shortRest) != nil:
			sooner(s.swept.Add(pause))
		case short > 0 || used > limit:
			sooner(later(since.Add(shortRest), s.swept.Add(pause)))
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

// sleeper returns the run that sleeps longest, nil where none sleeps for that long. The caller holds mu.
func (s *residency) sleeper(long time.Duration) *run {
	if len(s.asleep) == 0 || s.asleep[0].seat.wake-s.e.now() < int64(long) {
		return nil
	}
	return s.asleep[0]
}

// sweep evicts the guests that have to leave.
func (s *residency) sweep() {
	s.mu.Lock()
	s.due, s.swept = time.Time{}, time.Now()
	s.mu.Unlock()
	if !s.sweeping.TryLock() {
		return // whoever does arms the timer again
	}
	s.mu.Lock()
	closed := s.closed
	s.mu.Unlock()
	if closed {
		s.sweeping.Unlock()
		return
	}
	if used, _, _ := s.slots.count(); used > 0 {
		s.measure()
	}
	s.mu.Lock()
	tight := s.tight()
	used, short, limit := s.slots.count()
	owed := max(short, used-limit, 0)
	if short > 0 {
		owed += min(inAdvance, limit/8)
	}
	owed = max(owed, s.excess)
	s.mu.Unlock()
	left := 0
	for {
		r := s.pick(left < owed, used-left > plenty, tight)
		if r == nil {
			break
		}
		if s.evict(r) {
			left++
		}
	}
	s.mu.Lock()
	s.excess = 0
	s.mu.Unlock()
	s.sweeping.Unlock()
	if tight {
		s.e.library.Trim()
	}
	if used, _, _ := s.slots.count(); left > 0 && used == 0 {
		s.calm()
	}
	s.mu.Lock()
	s.arm()
	s.mu.Unlock()
}

// pick takes the guest that is to leave next out of the lists. It returns nil where none is.
func (s *residency) pick(owed, many, tight bool) *run {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := s.rested.Front()
	if first == nil {
		return nil
	}
	r := first.Value.(*run)
	may := s.keep
	if owed {
		if may = min(shortRest, s.keep); tight {
			may = 0
		}
		if long := s.sleeper(shortRest); long != nil {
			r, may = long, 0
		}
	} else if many {
		if long := s.sleeper(s.keep); long != nil {
			r, may = long, 0
		}
	}
	if time.Since(r.seat.since) < may && !s.e.dead.Load() {
		return nil
	}
	s.remove(r)
	return r
}

// evict takes the guest from a run, unless somebody drives it by now. It tells whether the guest leaves.
func (s *residency) evict(r *run) bool {
	var release func()
	r.mu.Lock()
	rests := !r.driving && r.inst != nil
	switch {
	case !rests:
	case r.wantsImage(true): // the driver makes it, and lets the guest go
		r.leaving = true
		r.wakeLocked()
	default:
		release = r.detach()
	}
	r.mu.Unlock()
	if release != nil {
		release()
	}
	s.e.rest(r)
	return rests
}

// calm is called when the last guest has left memory: what they have needed is given back to the system.
// The next run waits for an instance, some hundred microseconds.
func (s *residency) calm() {
	const atMost = time.Minute // a collection is some ten milliseconds of work
	s.e.library.Trim()
	s.mu.Lock()
	collect := s.e.space != nil && time.Since(s.calmed) > atMost
	if collect {
		s.calmed = time.Now()
	}
	s.mu.Unlock()
	if collect {
		debug.FreeOSMemory()
	}
}

// close ends it. When it returns no guest is taken from a run any more: those that are left are the engine's, which
// must not hold e.mu meanwhile.
func (s *residency) close() {
	s.mu.Lock()
	s.closed = true
	if s.timer != nil {
		s.timer.Stop()
	}
	s.mu.Unlock()
	s.sweeping.Lock() // waits for whoever evicts
	defer s.sweeping.Unlock()
}

// sleepers is a heap of runs that rest, the one that sleeps longest first.
type sleepers []*run

func (s sleepers) Len() int           { return len(s) }
func (s sleepers) Less(i, j int) bool { return s[i].seat.wake > s[j].seat.wake }

func (s sleepers) Swap(i, j int) {
	s[i], s[j] = s[j], s[i]
	s[i].seat.index, s[j].seat.index = i, j
}

func (s *sleepers) Push(x any) {
	x.(*run).seat.index = len(*s)
	*s = append(*s, x.(*run))
}

func (s *sleepers) Pop() any {
	old := *s
	last := old[len(old)-1]
	last.seat.index = -1
	old[len(old)-1] = nil
	*s = old[:len(old)-1]
	return last
}
