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
// that is new to it, is the end of the turn (docs/formats.md, "Delivery"). A poll that would not block
// is answered without looking at answers: the scheduler of a guest must see the same at every replay.
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
	idle, none, known := i.subscribe(b)
	switch {
	case !known:
		return einval
	case none:
		i.mark(func(s *subscription) bool { return s.none })
	case !idle:
		i.mark(func(s *subscription) bool { return s.kind == 0 })
	default:
		if !i.ready() {
			i.over = true
			i.rest()
			i.mark(func(s *subscription) bool { return s.kind != 0 && s.fd == idleFD })
		}
	}
	return i.emit(out, result)
}

// subscribe reads the subscriptions: is idle among them, and a clock with a timeout of zero, and
// are all of a kind that is known.
func (i *Instance) subscribe(b []byte) (idle, none, known bool) {
	i.subs = i.subs[:0]
	for ; len(b) > 0; b = b[subscriptionSize:] {
		s := subscription{user: binary.LittleEndian.Uint64(b), kind: b[8]}
		switch s.kind {
		case 0:
			s.delay, s.none = i.delay(b)
			none = none || s.none
		case 1, 2:
			s.fd = binary.LittleEndian.Uint32(b[16:])
			idle = idle || s.fd == idleFD
		default:
			return false, false, false
		}
		i.subs = append(i.subs, s)
	}
	return idle, none, true
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

// ready marks what a poll need not wait for: calls that were answered, descriptors that are none,
// and clocks whose time has come.
func (i *Instance) ready() (any bool) {
	for k := range i.subs {
		s := &i.subs[k]
		switch known, ours := i.known(s.fd); {
		case s.kind == 0:
			if s.delay <= 0 {
				s.order = placeClock
			}
		case s.fd == idleFD:
		case !known:
			s.order, s.fault = placeOther, ebadf
		case !ours:
			s.order = placeOther
		default:
			s.order = i.visible[int(s.fd-firstFD)].order
		}
		any = any || s.order > 0
	}
	if any {
		slices.SortStableFunc(i.subs, func(a, b subscription) int { return cmp.Compare(a.order, b.order) })
	}
	return any
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
		if s.kind == 0 {
			wake = min(wake, s.delay)
		}
	}
	if wake != math.MaxInt64 {
		i.out.Wake = i.now + min(wake, math.MaxInt64-i.now)
	}
}
