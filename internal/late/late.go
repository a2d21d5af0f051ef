// Package late brings the outcomes of calls to those who own their runs now.
//
// A server that stands still for longer than its lease, or is cut off from the database for so long, loses its runs to others
// while calls of theirs are in flight. Those that must not be repeated run on, and their new owner takes their outcome for
// unknown. The old one often learns it. It offers it to the owner, which logs it if nobody has decided about the call in
// the meantime ([live.Registry.Learn]).
//
// An [Outbox] outlives the engine that has lost the runs: the server goes on as another node, with another engine, which makes
// the offers. It is in memory only, and bounded: an outcome that nobody takes for [Patience], or for which there is no
// room, is dropped, and the call waits for a person, as if the server had never come back. An outcome is never logged twice, or
// for another attempt than its own.
package late

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/live"
	"github.com/flawless-engine/flawless/internal/rpc"
	"github.com/flawless-engine/flawless/internal/store"
)

// Limits of an Outbox.
const (
	Patience = time.Hour // how long an outcome is offered
	maxBytes = 64 << 20  // of answers that wait to be taken, together
	maxCount = 10_000    // of outcomes that wait
)

// Outbox has the outcomes that a server offers. The zero value is empty. All methods may be called concurrently. It
// implements [live.Late].
type Outbox struct {
	mu       sync.Mutex
	log      *slog.Logger  // nil logs nothing
	expected int           // calls in flight
	waiting  []waiting     // oldest first
	bytes    int           // of their answers
	changed  chan struct{} // closed when there is a change; nil if nobody waits for one
}

type waiting struct {
	*live.Outcome
	since time.Time
}

// Expect implements [live.Late].
func (b *Outbox) Expect() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expected++
}

// Put implements [live.Late].
func (b *Outbox) Put(o *live.Outcome) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expected--
	b.tell()
	if o == nil {
		return
	}
	if size := sizeOf(o); len(b.waiting) >= maxCount || b.bytes+size > maxBytes {
		b.drop(o, errors.New("too many others are waiting"))
		return
	}
	b.bytes += sizeOf(o)
	b.waiting = append(b.waiting, waiting{o, time.Now()})
}

func sizeOf(o *live.Outcome) int { return len(o.Result.Answer.Head) + len(o.Result.Answer.Body) }

// tell wakes those who wait for a change. The caller holds mu.
func (b *Outbox) tell() {
	if b.changed != nil {
		close(b.changed)
		b.changed = nil
	}
}

func (b *Outbox) drop(o *live.Outcome, why error) {
	if b.log != nil {
		b.log.Warn("dropped the outcome of a call that was learned after another server had taken over its run", "run", o.Run, "call", o.Attempt.Call, "attempt", o.Attempt.N, "outcome", o.Result.Text, "reason", why)
	}
}

// Empty waits until no outcome waits and none is expected, or ctx ends. It reports whether that is so.
func (b *Outbox) Empty(ctx context.Context) bool {
	for {
		b.mu.Lock()
		empty, changed := b.expected == 0 && len(b.waiting) == 0, b.whenChanged()
		b.mu.Unlock()
		if empty {
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

// whenChanged returns a channel that is closed at the next change. The caller holds mu.
func (b *Outbox) whenChanged() <-chan struct{} {
	if b.changed == nil {
		b.changed = make(chan struct{})
	}
	return b.changed
}

// serve offers outcomes until ctx ends.
func (b *Outbox) serve(ctx context.Context, offer func(ctx context.Context, o live.Outcome) error) {
	for {
		b.mu.Lock()
		all, changed := b.waiting[:len(b.waiting):len(b.waiting)], b.whenChanged()
		b.mu.Unlock()
		for _, w := range all {
			if err := offer(ctx, *w.Outcome); ctx.Err() != nil {
				return
			} else if answered(err) || time.Since(w.since) > Patience {
				b.remove(w, err)
			}
		}
		var again <-chan time.Time // nil for never
		b.mu.Lock()
		if len(b.waiting) > 0 {
			again = time.After(retry)
		}
		b.mu.Unlock()
		select {
		case <-changed:
		case <-again:
		case <-ctx.Done():
			return
		}
	}
}

// retry is how long an Outbox waits before it offers again what nobody could take.
const retry = time.Second

// answered reports whether the owner of the run has taken an outcome, or refused it.
func answered(err error) bool {
	switch flawless.CodeOf(err) {
	case flawless.NotFound, flawless.Conflict, flawless.Invalid, flawless.TooLarge, flawless.Damaged:
		return true
	}
	return err == nil
}

// remove removes an outcome that was taken, or dropped because of an error.
func (b *Outbox) remove(w waiting, err error) {
	b.mu.Lock()
	for i := range b.waiting {
		if b.waiting[i].Outcome == w.Outcome {
			b.bytes -= sizeOf(w.Outcome)
			b.waiting = append(b.waiting[:i:i], b.waiting[i+1:]...)
			break
		}
	}
	b.tell()
	defer b.mu.Unlock()
	switch {
	case err != nil:
		b.drop(w.Outcome, err)
	case b.log != nil:
		b.log.Info("the outcome of a call was logged by the server that has taken over its run", "run", w.Run, "call", w.Attempt.Call, "attempt", w.Attempt.N, "outcome", w.Result.Text)
	}
}

// op is the offer to another server.
const op = rpc.Op[live.Outcome, rpc.Nothing]("learn")

// Handle takes the outcomes that other servers offer.
func Handle(runs *live.Registry, peers *rpc.Endpoint) {
	op.Handle(peers, func(ctx context.Context, o live.Outcome) (rpc.Nothing, error) {
		return rpc.Nothing{}, runs.Learn(ctx, o)
	})
}

// Serve offers the outcomes to the owners of their runs until ctx ends. This server may be one of them.
func (b *Outbox) Serve(ctx context.Context, runs *live.Registry, peers *rpc.Endpoint, log *slog.Logger) {
	b.mu.Lock()
	b.log = log
	b.mu.Unlock()
	b.serve(ctx, func(ctx context.Context, o live.Outcome) error {
		err := runs.Learn(ctx, o)
		if errors.Is(err, flawless.Elsewhere) {
			_, err = op.Ask(ctx, peers, store.ShardOf(o.Run), o)
		}
		return err
	})
}
