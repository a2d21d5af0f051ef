package lifecycle

import (
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flawless-engine/flawless"
)

// disk is full or not.
type disk struct{ full atomic.Bool }

func (d *disk) Full() (bool, string) { return d.full.Load(), "the disk is full" }

func TestStopEndsTurnsAndEndEndsCalls(t *testing.T) {
	t.Parallel()
	l := New(nil, slog.New(slog.DiscardHandler))
	if !l.MayTurn() || l.Accept() != nil {
		t.Errorf("before it is stopped, it may turn %v and accepts work: %v", l.MayTurn(), l.Accept())
	}
	if !l.Stop() || l.Stop() {
		t.Error("Stop does not report that it was the first, or it reports so twice")
	}
	if l.Turns.Err() == nil || l.Calls.Err() != nil || l.MayTurn() || l.Over() || !errors.Is(l.Accept(), flawless.Stopping) {
		t.Errorf("after Stop, turns %v, calls %v, accepts work: %v", l.Turns.Err(), l.Calls.Err(), l.Accept())
	}
	if err := l.WhenSpace(func() error { return nil }); err != nil {
		t.Errorf("after Stop, writing: %v", err)
	}
	l.End()
	if err := l.WhenSpace(func() error { t.Error("it was written"); return nil }); l.Calls.Err() == nil || !errors.Is(err, flawless.Stopping) {
		t.Errorf("after End, calls %v, writing: %v", l.Calls.Err(), err)
	}
}

func TestBreakKeepsFirstCause(t *testing.T) {
	t.Parallel()
	l := New(nil, slog.New(slog.DiscardHandler))
	first := errors.New("the lease is gone")
	l.Break(first)
	l.Break(errors.New("another"))
	<-l.Broken()
	if err := l.Cause(); !errors.Is(err, first) || !errors.Is(err, flawless.Stopping) || l.Turns.Err() == nil || l.Calls.Err() == nil {
		t.Errorf("the cause is %v, turns %v, calls %v", err, l.Turns.Err(), l.Calls.Err())
	}
	killed := New(nil, slog.New(slog.DiscardHandler))
	killed.Kill()
	if killed.Break(first); killed.Cause() != nil {
		t.Errorf("it was killed, and broke then: %v", killed.Cause())
	}
}

func TestWriteWaitsForSpace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &disk{}
		d.full.Store(true)
		l := New(d, slog.New(slog.DiscardHandler))
		if err := l.Accept(); !errors.Is(err, flawless.Full) || l.MayTurn() {
			t.Errorf("on a full disk it may turn %v and accepts work: %v", l.MayTurn(), err)
		}
		written := make(chan error, 1)
		go func() {
			written <- l.WhenSpace(func() error {
				if d.full.Load() {
					return flawless.Full
				}
				return nil
			})
		}()
		time.Sleep(time.Minute)
		d.full.Store(false)
		if err := <-written; err != nil {
			t.Errorf("once there is space, writing: %v", err)
		}
		if err := l.Accept(); err != nil || !l.MayTurn() {
			t.Errorf("once there is space, it may turn %v and accepts work: %v", l.MayTurn(), err)
		}
		select {
		case <-l.HasSpace():
		default:
			t.Error("nobody is notified of the space")
		}
	})
}

func TestPartEndsBeforeWhole(t *testing.T) {
	t.Parallel()
	l := New(nil, slog.New(slog.DiscardHandler))
	gone := errors.New("another server has it")
	part, other := l.Part(gone), l.Part(gone)
	if !part.Stop() || part.MayTurn() || part.Over() || part.Turns.Err() == nil || part.Calls.Err() != nil || !errors.Is(part.Accept(), gone) {
		t.Errorf("a part that was stopped: turns %v, calls %v, accepts work: %v", part.Turns.Err(), part.Calls.Err(), part.Accept())
	}
	part.Kill()
	if err := part.WhenSpace(func() error { t.Error("it was written"); return nil }); !errors.Is(err, gone) || part.Calls.Err() == nil {
		t.Errorf("a part that was killed: calls %v, writing: %v", part.Calls.Err(), err)
	}
	for _, alive := range []*Lifecycle{l, other} {
		if !alive.MayTurn() || alive.Over() || alive.Accept() != nil || alive.Turns.Err() != nil {
			t.Errorf("the end of one part has ended more: %v", alive.Accept())
		}
	}
	l.Break(errors.New("the store is gone"))
	if other.MayTurn() || !other.Over() || other.Turns.Err() == nil || other.Calls.Err() == nil || !errors.Is(other.Err(), flawless.Stopping) || !errors.Is(part.Err(), flawless.Stopping) {
		t.Errorf("the end of the whole has not ended its parts: %v, %v", other.Err(), part.Err())
	}
}

func TestPartBreaksWhole(t *testing.T) {
	t.Parallel()
	d := &disk{}
	l := New(d, slog.New(slog.DiscardHandler))
	part := l.Part(errors.New("gone"))
	d.full.Store(true)
	if err := part.Accept(); !errors.Is(err, flawless.Full) || part.MayTurn() {
		t.Errorf("on a full disk a part accepts work: %v", err)
	}
	part.Break(errors.New("the write was lost"))
	if <-part.Broken(); !l.Over() || l.Cause() == nil || part.Cause() == nil {
		t.Error("the whole goes on")
	}
}
