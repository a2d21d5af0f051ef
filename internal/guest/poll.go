package guest

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"
)

const maxSubscriptions = 1 << 16

// subscription is one of a poll: a clock or a descriptor.
type subscription struct {
	user  uint64
	kind  byte // 0 clock, 1 read, 2 write
	fd    uint32
	delay int64 // of a clock: nanoseconds from now
	order int   // of a call: its place among the answers
}

// poll is how a guest says what it waits for. Answers are handed over at the first poll of a turn
// that would block, and the next such poll is the end of the turn (docs/formats.md, "Delivery").
// A poll that would not block is answered without looking at answers: the scheduler of a guest must
// see the same at every replay.
func poll(i *Instance, s []uint64) uint32 {
	in, out, count, result := s[0], s[1], uint32(s[2]), s[3]
	if count == 0 || count > maxSubscriptions {
		return einval
	}
	subs := i.subs[:0]
	idle := -1
	wake := int64(math.MaxInt64)
	for k := range uint64(count) {
		b, there := i.mod.Memory().Read(uint32(in+48*k), 48)
		if !there {
			return efault
		}
		sub := subscription{user: binary.LittleEndian.Uint64(b), kind: b[8]}
		switch sub.kind {
		case 0:
			sub.delay = i.delay(b)
			wake = min(wake, sub.delay)
		case 1, 2:
			sub.fd = binary.LittleEndian.Uint32(b[16:])
			if sub.fd == idleFD {
				idle = len(subs)
			}
		default:
			return einval
		}
		subs = append(subs, sub)
	}
	i.subs = subs
	clocks := func(s *subscription) bool { return s.kind == 0 && s.delay <= max(wake, 0) }
	switch {
	case wake <= 0:
		return i.emit(out, result, clocks)
	case idle < 0 && i.resume != nil:
		if wake == math.MaxInt64 {
			return i.emit(out, result, func(s *subscription) bool { return true })
		}
		return i.emit(out, result, clocks)
	case idle < 0:
		return i.pausePoll(out, result, wake)
	}
	i.handOver()
	if i.anyReady() {
		return i.emit(out, result, func(s *subscription) bool { return s.order > 0 })
	}
	i.over = true
	i.rest(wake)
	return i.emit(out, result, func(s *subscription) bool { return s.kind != 0 && s.fd == idleFD })
}

// delay is when a clock subscription is due, from now.
func (i *Instance) delay(b []byte) int64 {
	timeout := int64(min(binary.LittleEndian.Uint64(b[24:]), math.MaxInt64))
	if binary.LittleEndian.Uint16(b[40:])&1 == 0 {
		return timeout
	}
	if binary.LittleEndian.Uint32(b[16:]) == 0 {
		return timeout - i.now
	}
	return timeout - i.monotonic()
}

// anyReady finds the calls among the subscriptions that have been answered.
func (i *Instance) anyReady() (any bool) {
	for k := range i.subs {
		s := &i.subs[k]
		s.order = 0
		if s.kind == 0 || s.fd <= firstFD {
			continue
		}
		if a, there := i.visible[int(s.fd-firstFD)]; there {
			s.order, any = a.order, true
		}
	}
	if any {
		slices.SortStableFunc(i.subs, func(a, b subscription) int { return cmp.Compare(a.order, b.order) })
	}
	return any
}

// emit writes the events of the chosen subscriptions: 32 bytes each, user data (8), error (2), type
// (1), and of a descriptor the number of bytes (8 at 16).
func (i *Instance) emit(out, result uint64, chosen func(*subscription) bool) uint32 {
	n := uint32(0)
	for k := range i.subs {
		s := &i.subs[k]
		if !chosen(s) {
			continue
		}
		var b [32]byte
		binary.LittleEndian.PutUint64(b[:], s.user)
		b[10] = s.kind
		if s.kind != 0 {
			b[16] = 1
		}
		if e := i.put(out+32*uint64(n), b[:]); e != ok {
			return e
		}
		n++
	}
	return i.put32(result, n)
}

// rest takes down what a guest waits for that became quiescent.
func (i *Instance) rest(wake int64) {
	i.out.Wake = 0
	if wake != math.MaxInt64 {
		i.out.Wake = i.now + min(wake, math.MaxInt64-i.now)
	}
	i.out.Waits = i.out.Waits[:0]
	for _, s := range i.subs {
		if s.kind != 0 && s.fd > firstFD {
			i.out.Waits = append(i.out.Waits, int(s.fd-firstFD))
		}
	}
	slices.Sort(i.out.Waits)
	i.out.Waits = slices.Compact(i.out.Waits)
}

// pausePoll is the poll of a guest without a scheduler: it blocks until something is ready.
func (i *Instance) pausePoll(out, result uint64, wake int64) uint32 {
	until := int64(0)
	if wake != math.MaxInt64 {
		until = i.now + min(wake, math.MaxInt64-i.now)
	}
	var calls []int
	for _, s := range i.subs {
		if s.kind != 0 && s.fd > firstFD {
			calls = append(calls, int(s.fd-firstFD))
		}
	}
	for {
		if i.anyReady() {
			return i.emit(out, result, func(s *subscription) bool { return s.order > 0 })
		}
		if until != 0 && i.now >= until {
			return i.emit(out, result, func(s *subscription) bool { return s.kind == 0 })
		}
		i.pause(calls, until)
	}
}
