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

// subscription is something that a poll waits for: a clock or a descriptor.
type subscription struct {
	user  uint64
	kind  byte // 0 clock, 1 read, 2 write
	fd    uint32
	delay int64 // of a clock, in nanoseconds from now
	none  bool  // it is a clock with a time-out of zero
	order int   // position among the events, 0 if it is no event
	fault uint16
}

// Positions of events after those of answers. The position of an answer is its order.
const (
	orderOther = math.MaxInt - 1
	orderClock = math.MaxInt
)

// poll is how a guest says what it waits for. A poll that would block, and finds neither an answer nor a timer that
// is due, ends the turn (docs/internals/formats.md, "Delivery"). A poll that would not block returns without looking
// at answers, because the scheduler of a guest must see the same in every replay. A poll with a time-out of zero and
// the early descriptor ends the turn, too, if nothing is ready and the guest can have no timer.
//
//	in      subscriptions of 48 bytes
//	out     room for as many events of 32 bytes
//	count   of subscriptions; einval if it is 0
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
	has, known := i.subscribe(b)
	switch {
	case !known:
		return einval
	case has.none && has.early && !i.m.rt.options.patient && i.timerless > mayHaveTimers && i.blocks():
		i.end()
	case has.none:
		i.mark(func(s *subscription) bool { return s.none })
	case !has.idle:
		i.mark(func(s *subscription) bool { return s.kind == 0 })
	case i.blocks():
		i.end()
	default:
		i.ready()
	}
	switch {
	case has.idle && !has.clock:
		i.timerless = timerlessYet
	case has.idle && !has.none:
		i.timerless = mayHaveTimers
	}
	return i.emit(out, result)
}

// rest is how an idle guest asks whether it may end the turn without a poll. It may if it can have no timer, because
// the engine learns of timers from polls.
func rest(i *Instance, _ []uint64) uint32 {
	if i.m.rt.options.patient || i.timerless == mayHaveTimers {
		return 0
	}
	return 1
}

// What is known about a guest's timers. A poll without a clock means that it has none, and that holds until it reads
// the clock again, which it must to make a timer. The first reading after such a poll is that of the scheduler.
const (
	mayHaveTimers = iota
	isTimerless
	timerlessYet // and the scheduler has not read the clock
)

// found says what is among the subscriptions of a poll.
type found struct {
	idle, early bool // a descriptor that is readable when the turn is over; the early one
	clock, none bool // a clock; a clock with a time-out of zero
}

// subscribe reads the subscriptions, and returns what is among them. known is false if one has an unknown kind.
func (i *Instance) subscribe(b []byte) (has found, known bool) {
	i.subs = i.subs[:0]
	for ; len(b) > 0; b = b[subscriptionSize:] {
		s := subscription{user: binary.LittleEndian.Uint64(b), kind: b[8]}
		switch s.kind {
		case 0:
			s.delay, s.none = i.delay(b)
			has.clock, has.none = true, has.none || s.none
		case 1, 2:
			s.fd = binary.LittleEndian.Uint32(b[16:])
			has.idle = has.idle || isIdle(s.fd)
			has.early = has.early || s.fd == earlyFD
		default:
			return has, false
		}
		i.subs = append(i.subs, s)
	}
	return has, true
}

// delay returns when a clock subscription is due, from now, and whether its time-out is zero.
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

// mark makes the chosen subscriptions events, in the order of the subscriptions.
func (i *Instance) mark(chosen func(*subscription) bool) {
	for k := range i.subs {
		if s := &i.subs[k]; chosen(s) {
			s.order = orderOther
		}
	}
}

// position returns the position of a subscription among the events: first answered calls in the order of their
// answers, then descriptors that are no calls, then clocks that are due. It is 0 if the subscription is no event.
func (i *Instance) position(s *subscription) (order int, fault uint16) {
	switch known, ours := i.known(s.fd); {
	case s.kind == 0 && s.delay <= 0:
		return orderClock, 0
	case s.kind == 0 || isIdle(s.fd):
		return 0, 0
	case !known:
		return orderOther, ebadf
	case !ours:
		return orderOther, 0
	}
	return i.visible[int(s.fd-firstFD)].order, 0
}

// blocks reports whether a poll would block, leaving aside time-outs of zero.
func (i *Instance) blocks() bool {
	for k := range i.subs {
		if s := &i.subs[k]; !s.none {
			if order, _ := i.position(s); order > 0 {
				return false
			}
		}
	}
	return true
}

// ready makes the subscriptions that are ready events.
func (i *Instance) ready() {
	for k := range i.subs {
		s := &i.subs[k]
		s.order, s.fault = i.position(s)
	}
	slices.SortStableFunc(i.subs, func(a, b subscription) int { return cmp.Compare(a.order, b.order) })
}

// end ends the turn, and records the next timer of the guest.
func (i *Instance) end() {
	i.over = true
	i.setWake()
	i.mark(func(s *subscription) bool { return s.kind != 0 && isIdle(s.fd) })
}

// emit writes the events: user data (8 bytes), error (2), type (1), and for a descriptor the number of bytes (8, at
// 16).
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

// setWake records the next timer of a guest that is now quiescent.
func (i *Instance) setWake() {
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
