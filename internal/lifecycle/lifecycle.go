// Package lifecycle says which work a server still does.
//
// Work ends in this order: no new runs and turns, no waiting for calls in flight, no writes. An orderly stop goes
// through it step by step; a store that cannot be trusted any more ends all of it at once. While the disk is full
// there is no new work either, and writes wait until there is space.
//
// The work on a part of what a server owns has a Lifecycle of its own, see [Lifecycle.Part]. It can end before that of
// the server.
package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/task"
)

// Disk reports whether there is space for new work.
type Disk interface {
	// Full reports whether there is none, and why.
	Full() (bool, string)
}

// Lifecycle is the state of a server's work. All methods may be called concurrently.
type Lifecycle struct {
	// Set by New, and not changed afterwards.
	Turns    context.Context // of guests computing; ends when there is no new work
	Calls    context.Context // of calls in flight; ends when the engine stops waiting for their outcomes
	Sends    context.Context // of what calls send; ends with Calls, unless they are left to themselves. Nil in a part
	endTurns context.CancelFunc
	endCalls context.CancelFunc
	endSends context.CancelFunc
	disk     Disk // nil is never full
	log      *slog.Logger
	hasSpace chan struct{} // has an item when there is space again
	broken   chan struct{} // closed by Break
	whole    *Lifecycle    // of which this one is a part, nil if it is not
	gone     error         // why the part has ended, if the whole has not

	stopping atomic.Bool           // no new work
	over     atomic.Bool           // nothing is written any more
	full     atomic.Bool           // last answer of the disk
	cause    atomic.Pointer[error] // why the store was given up
}

// New returns a Lifecycle that permits all work.
func New(disk Disk, log *slog.Logger) *Lifecycle {
	l := &Lifecycle{disk: disk, log: log, hasSpace: make(chan struct{}, 1), broken: make(chan struct{})}
	l.Turns, l.endTurns = context.WithCancel(context.Background())
	l.Calls, l.endCalls = context.WithCancel(context.Background())
	l.Sends, l.endSends = context.WithCancel(context.Background())
	return l
}

// Part returns the Lifecycle of a part of the work. It ends with l at the latest. If it ends before that, Err returns gone.
// The disk is that of l, and Break ends all of l.
func (l *Lifecycle) Part(gone error) *Lifecycle {
	p := &Lifecycle{whole: l, gone: gone}
	p.Turns, p.endTurns = context.WithCancel(l.Turns)
	p.Calls, p.endCalls = context.WithCancel(l.Calls)
	p.endSends = func() {}
	return p
}

// root returns the Lifecycle of the server.
func (l *Lifecycle) root() *Lifecycle {
	if l.whole != nil {
		return l.whole
	}
	return l
}

// Stop ends new work: no more runs are started and no more turns taken. It returns false if it was called before.
func (l *Lifecycle) Stop() bool {
	if l.stopping.Swap(true) {
		return false
	}
	l.endTurns()
	return true
}

// End ends all work. Nothing is written from then on.
func (l *Lifecycle) End() {
	l.over.Store(true)
	l.endSends()
	l.endCalls()
}

// Kill is End and Stop in one, as in a crash.
func (l *Lifecycle) Kill() {
	l.endSends()
	l.Leave()
}

// Leave is Kill, except that calls in flight may go on without anybody who waits for them here.
func (l *Lifecycle) Leave() {
	l.over.Store(true)
	l.stopping.Store(true)
	l.endCalls()
	l.endTurns()
}

// Break ends all work because the contents of the store are unknown, or because the store belongs to another server. Only
// the first cause is kept.
func (l *Lifecycle) Break(cause error) {
	l = l.root()
	if l.over.Load() || !l.cause.CompareAndSwap(nil, &cause) {
		return
	}
	l.over.Store(true)
	l.log.Error("giving up the store, all work stops", "error", cause)
	l.endTurns()
	l.endSends()
	l.endCalls()
	close(l.broken)
}

// Broken returns a channel that is closed by Break.
func (l *Lifecycle) Broken() <-chan struct{} { return l.root().broken }

// Cause returns why the store was given up, as flawless.Stopping, or nil.
func (l *Lifecycle) Cause() error {
	if cause := l.root().cause.Load(); cause != nil {
		return fmt.Errorf("the server has given up its store and shuts down; start it again: %w: %w", *cause, flawless.Stopping)
	}
	return nil
}

// Stopping reports whether there is no new work.
func (l *Lifecycle) Stopping() bool {
	return l.stopping.Load() || l.whole != nil && l.whole.stopping.Load()
}

// Over reports whether nothing is written any more.
func (l *Lifecycle) Over() bool { return l.over.Load() || l.whole != nil && l.whole.over.Load() }

// Err returns why work has ended, as flawless.Stopping; for a part that has ended before the whole, what was given to
// Part.
func (l *Lifecycle) Err() error {
	if err := l.Cause(); err != nil {
		return err
	}
	if w := l.whole; w != nil && !w.over.Load() && !w.stopping.Load() {
		return l.gone
	}
	return fmt.Errorf("the server is shutting down: %w", flawless.Stopping)
}

// MayTurn reports whether guests may take turns.
func (l *Lifecycle) MayTurn() bool { return !l.Stopping() && !l.Over() && !l.root().full.Load() }

// Accept returns nil if new work is accepted, else flawless.Stopping or flawless.Full.
func (l *Lifecycle) Accept() error {
	if l.Over() || l.Stopping() {
		return l.Err()
	}
	if full, why := l.Full(); full {
		return fmt.Errorf("the server accepts no new work: %s: %w", why, flawless.Full)
	}
	return nil
}

// Full asks the disk whether space for new work is lacking, and why.
func (l *Lifecycle) Full() (full bool, why string) {
	l = l.root()
	if l.disk == nil {
		return false, ""
	}
	full, why = l.disk.Full()
	switch was := l.full.Swap(full); {
	case full && !was:
		l.log.Warn("refusing new work until there is disk space", "reason", why)
	case was && !full:
		task.Poke(l.hasSpace)
	}
	return full, why
}

// HasSpace returns a channel that receives an item when there is space again.
func (l *Lifecycle) HasSpace() <-chan struct{} { return l.root().hasSpace }

// WhenSpace calls do until it returns something other than flawless.Full, or all work has ended.
func (l *Lifecycle) WhenSpace(do func() error) error {
	for {
		if l.Over() {
			return fmt.Errorf("nothing was written: %w", l.Err())
		}
		err := do()
		if !errors.Is(err, flawless.Full) {
			return err
		}
		l.Full()
		select {
		case <-time.After(time.Second):
		case <-l.Calls.Done():
		}
	}
}
