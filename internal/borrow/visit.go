package borrow

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/clock"
)

// askTime is how long a question waits for its answer at the owner.
const askTime = clock.Soon

// wishTime is how long a wish stays in the queue when nobody asks for it any more.
const wishTime = 3 * askTime

// Visit is a call on a state, made by a run of another server.
type Visit struct {
	State string        `cbor:"1,keyasint"`
	Run   string        `cbor:"2,keyasint"`
	Call  flawless.Call `cbor:"3,keyasint"`
	At    int64         `cbor:"4,keyasint"`           // time of the turn that made the call
	Lock  int           `cbor:"5,keyasint,omitempty"` // the call that locked the state, if this one ends the hold
	// What the run was told by Lock, if that is in the past which it shares with the run it was forked from.
	Told      flawless.Bytes `cbor:"6,keyasint,omitempty"`
	Inherited bool           `cbor:"7,keyasint,omitempty"`
}

// Reply has no answer while the state is not free.
type Reply struct {
	Answer *flawless.Answer `cbor:"1,keyasint,omitempty"`
}

// Visit carries out a call on a state of this server. It returns when there is an answer, or after a while without one: the
// call of a lock has a wish in the queue then, which stays for a while. The same call may come any number of times.
func (s *States) Visit(ctx context.Context, in Visit) (Reply, error) {
	if in.Lock != 0 { // the call is in the log of the run, so the lock is wanted by nobody
		s.end(Hold{in.State, flawless.Claim{Run: in.Run, Call: in.Lock}})
	}
	v := &visitor{states: s, request: in, answers: make(chan flawless.Answer, 1), moved: make(chan struct{})}
	defer v.leave()
	if err := s.o.Locks.Perform(v, in.Call, in.At); err != nil {
		return Reply{}, err
	}
	timer := time.NewTimer(askTime)
	defer timer.Stop()
	select {
	case a := <-v.answers:
		return Reply{&a}, nil
	case <-v.moved:
		return Reply{}, s.movedAway(in.State)
	case <-s.o.Turns.Done():
		return Reply{}, s.o.Err()
	case <-ctx.Done():
		return Reply{}, ctx.Err()
	case <-timer.C:
		return Reply{}, nil
	}
}

func (s *States) movedAway(state string) error {
	if err := s.o.Owns(state); err != nil {
		return err
	}
	return fmt.Errorf("state %s was away for a moment; ask again: %w", state, flawless.Elsewhere)
}

// visitor is a run of another server as [statelock.Run].
type visitor struct {
	states  *States
	request Visit
	answers chan flawless.Answer // has room for one
	moved   chan struct{}        // closed when the state belongs to another server

	mu   sync.Mutex
	gone time.Time // when the question ended; zero while it is asked
}

func (v *visitor) ID() string { return v.request.Run }

func (v *visitor) Answer(call int, a flawless.Answer) bool {
	if call != v.request.Call.N {
		return false
	}
	a.Call = call
	select {
	case v.answers <- a:
		return true
	default:
		return false
	}
}

// Waits reports whether the wish is asked for, and not unlocked. A question may be late: its run may have stopped waiting, or
// have come to this server, where it asks for itself.
func (v *visitor) Waits(call int) bool {
	if v.states.o.OwnsRun(v.request.Run) == nil || v.states.isOver(Hold{v.request.State, flawless.Claim{Run: v.request.Run, Call: call}}) {
		return false
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.gone.IsZero() || time.Since(v.gone) < wishTime
}

// Ended is false: a run that has ended does not ask.
func (v *visitor) Ended() bool { return false }

func (v *visitor) Inherited(int) (value []byte, found bool, err error) {
	return bytes.Clone(v.request.Told), v.request.Inherited, nil
}

func (v *visitor) Redo(int) { close(v.moved) }

// Retain does nothing: a visitor stays as long as its wish is in the queue.
func (v *visitor) Retain() {}

// Release does nothing.
func (v *visitor) Release() {}

func (v *visitor) leave() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.gone = time.Now()
}

// Leaving says what a run of another server leaves.
type Leaving struct {
	State string `cbor:"1,keyasint"`
	Run   string `cbor:"2,keyasint"`
	Lock  int    `cbor:"3,keyasint,omitempty"` // the call; 0 is all calls of the run, which has ended
}

// Leave ends holds and wishes that a run has of a state of this server.
func (s *States) Leave(l Leaving) error {
	if l.Lock == 0 {
		return s.o.Locks.ReleaseState(l.State, l.Run)
	}
	lock := flawless.Claim{Run: l.Run, Call: l.Lock}
	s.end(Hold{l.State, lock})
	return s.o.Locks.EndHold(l.State, lock)
}

// overTime is how long a lock of a visitor that is over is remembered. A question for it that arrives late must not get the
// state: nobody would unlock it, and a change that arrives late, too, would be made twice.
const overTime = time.Minute

func (s *States) end(h Hold) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over[h] = time.Now()
}

func (s *States) isOver(h Hold) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, over := s.over[h]
	return over
}
