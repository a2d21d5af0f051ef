package guest

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"
)

const (
	maxSubscriptions = 1 << 16
	subscriptionSize = 48
	eventSize        = 32
)

// subscription is one of a poll: a clock or a descriptor.
type subscription struct {
	user  uint64
	kind  byte // 0 clock, 1 read, 2 write
	fd    uint32
	delay int64 // of a clock: nanoseconds from now
	none  bool  // it is a clock with a timeout of zero
	order int   // place among the events, 0 where it is none
	fault uint16
}

// The places of events behind those of answers, whose places are their order.
const (
	placeOther = math.MaxInt - 1
	placeClock = math.MaxInt
)

// poll is how a guest says what it waits for. One that would block, and finds no answer and no timer
// that is new to it, is the end of the turn (docs/internals/formats.md, "Delivery"). A poll that would not block
// is answered without looking at answers: the scheduler of a guest must see the same at every replay. One
// with a timeout of zero that has the early descriptor ends the turn, too, where nothing is there and the
// guest can have no timer.
//
//	in      subscriptions of 48 bytes
//	out     room for as many events of 32 bytes
//	count   of subscriptions: einval where it is 0
//	result  receives the number of events
func poll(i *Instance, s []uint64) uint32 {
	in, out, count, result := s[0], s[1], s[2], s[3]
	if count == 0 || count > maxSubscriptions {
		return einval
	}
	b, inside := i.view(in, subscriptionSize*count)
	if !inside {
		return efault
	}
	look, known := i.subscribe(b)
	switch {
	case !known:
		return einval
	case look.none && look.early && !i.m.rt.options.patient && i.timerless > mayHaveTimers && i.blocks():
		i.end()
	case look.none:
		i.mark(func(s *subscription) bool { return s.none })
	case !look.idle:
		i.mark(func(s *subscription) bool { return s.kind == 0 })
	case i.blocks():
		i.end()
	default:
		i.ready()
	}
	switch {
	case look.idle && !look.clock:
		i.timerless = timerlessYet
	case look.idle && !look.none:
		i.timerless = mayHaveTimers
	}
	return i.emit(out, result)
}

// rest is how a guest asks whether it may end the turn without a poll, nothing being left for it to do: it
// may where it can have no timer, of which the engine would not hear.
func rest(i *Instance, _ []uint64) uint32 {
	if i.m.rt.options.patient || i.timerless == mayHaveTimers {
		return 0
	}
	return 1
}

// What is known of a guest's timers: that it has none, from a poll without a clock to the next reading of a
// clock, without which nobody can make one. The first reading after such a poll is the scheduler's own.
const (
	mayHaveTimers = iota
	isTimerless
	timerlessYet // and the scheduler has not read the clock
)

// looked says what the subscriptions of a poll have among them.
type looked struct {
	idle, early bool // a descriptor that is ready when the turn is over; the early one
	clock, none bool // a clock; one with a timeout of zero
}

// subscribe reads the subscriptions: what is among them, and are all of a kind that is known.
func (i *Instance) subscribe(b []byte) (look looked, known bool) {
	i.subs = i.subs[:0]
	for ; len(b) > 0; b = b[subscriptionSize:] {
		s := subscription{user: binary.LittleEndian.Uint64(b), kind: b[8]}
		switch s.kind {
		case 0:
			s.delay, s.none = i.delay(b)
			look.clock, look.none = true, look.none || s.none
		case 1, 2:
			s.fd = binary.LittleEndian.Uint32(b[16:])
			look.idle = look.idle || isIdle(s.fd)
			look.early = look.early || s.fd == earlyFD
		default:
			return look, false
		}
		i.subs = append(i.subs, s)
	}
	return look, true
}

// delay is when a clock subscription is due, from now, and whether its timeout is zero.
func (i *Instance) delay(b []byte) (delay int64, none bool) {
	timeout := int64(min(binary.LittleEndian.Uint64(b[24:]), math.MaxInt64))
	if binary.LittleEndian.Uint16(b[40:])&1 == 0 {
		return timeout, timeout == 0
	}
	if binary.LittleEndian.Uint32(b[16:]) == 0 {
		return timeout - i.now, false
	}
	return timeout - i.monotonic(), false
}

// mark makes events of the chosen subscriptions, in their order.
func (i *Instance) mark(chosen func(*subscription) bool) {
	for k := range i.subs {
		if s := &i.subs[k]; chosen(s) {
			s.order = placeOther
		}
	}
}

// place is where a subscription stands among the events: calls that were answered in their order, descriptors
// that are none, and clocks whose time has come; 0 where it is none of these.
func (i *Instance) place(s *subscription) (order int, fault uint16) {
	switch known, ours := i.known(s.fd); {
	case s.kind == 0 && s.delay <= 0:
		return placeClock, 0
	case s.kind == 0 || isIdle(s.fd):
		return 0, 0
	case !known:
		return placeOther, ebadf
	case !ours:
		return placeOther, 0
	}
	return i.visible[int(s.fd-firstFD)].order, 0
}

// blocks tells whether there is nothing that a poll need not wait for, but for a timeout of zero.
func (i *Instance) blocks() bool {
	for k := range i.subs {
		if s := &i.subs[k]; !s.none {
			if order, _ := i.place(s); order > 0 {
				return false
			}
		}
	}
	return true
}

// ready makes events of what a poll need not wait for.
func (i *Instance) ready() {
	for k := range i.subs {
		s := &i.subs[k]
		s.order, s.fault = i.place(s)
	}
	slices.SortStableFunc(i.subs, func(a, b subscription) int { return cmp.Compare(a.order, b.order) })
}

// end ends the turn, and takes down the next timer of the guest.
func (i *Instance) end() {
	i.over = true
	i.rest()
	i.mark(func(s *subscription) bool { return s.kind != 0 && isIdle(s.fd) })
}

// emit writes the events: user data (8), error (2), type (1), and of a descriptor the number of
// bytes (8 at 16).
func (i *Instance) emit(out, result uint64) uint32 {
	n := uint32(0)
	for k := range i.subs {
		s := &i.subs[k]
		if s.order == 0 {
			continue
		}
		b, inside := i.view(out+eventSize*uint64(n), eventSize)
		if !inside {
			return efault
		}
		clear(b)
		binary.LittleEndian.PutUint64(b, s.user)
		binary.LittleEndian.PutUint16(b[8:], s.fault)
		b[10] = s.kind
		if s.kind != 0 {
			b[16] = 1
		}
		n++
	}
	return i.put32(result, n)
}

// rest takes down the next timer of a guest that became quiescent.
func (i *Instance) rest() {
	i.out.Wake = 0
	wake := int64(math.MaxInt64)
	for _, s := range i.subs {
		if s.kind == 0 && !s.none {
			wake = min(wake, s.delay)
		}
	}
	if wake != math.MaxInt64 {
		i.out.Wake = i.now + min(wake, math.MaxInt64-i.now)
	}
}
