package live

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/admit"
	"github.com/flawless-engine/flawless/internal/core"
	"github.com/flawless-engine/flawless/internal/retention"
	"github.com/flawless-engine/flawless/internal/store"
)

// journal holds the state of a run, the entries not written yet, and how far the log is durable. It also holds the lock of
// the run.
type journal struct {
	reg  *Registry // set when the run is made, as are id and part
	id   string
	part *part // its shard

	mu      sync.Mutex     // guards the fields below, and those of other parts that say so
	idle    sync.Cond      // signalled when a write ends or driving ends
	s       *core.State    // state after the log and the outbox
	seq     uint64         // of the next record
	stored  *store.Head    // as the store has it, nil before the first write
	catalog *store.Catalog // with which the code was chosen; expected by the first write
	outbox  []pending      // entries that are not written yet
	data    []byte         // to be written with them
	writing bool           // a write or an image is in progress: others wait
	begun   uint64         // number of writes begun
	written uint64         // number of those that are durable
	failed  error          // of a write: nothing is written after it
	gone    bool           // the run has left memory, and must be loaded from the log

	staleSince int64 // when the row became stale, 0 if it is not: see rowMustChange

	tail   []flawless.Entry // of the last record, if it only has late attempts
	sealed uint64           // records before this one are never overwritten: an image may follow them
}

// pending is an entry to be written, with the attempts that depend on it.
type pending struct {
	entry    flawless.Entry
	attempts []core.Attempt // begin once it is durable
	queued   []queued       // wait for a permit once it is durable
	outcome  *Outcome       // from which it follows, if another owner needs that should it not become durable
}

// append applies entries and their consequences to the state, and puts them into the outbox. The caller holds mu.
func (j *journal) append(entries ...flawless.Entry) {
	for _, x := range entries {
		j.enqueue(x, j.s.Step(x))
	}
	if len(entries) > 0 {
		for _, x := range j.s.Consequences() {
			j.enqueue(x, j.s.Step(x))
		}
	}
}

// enqueue puts an entry into the outbox with the attempts that follow from it. An attempt whose host has no permit left
// waits, and the same record logs the wait. The caller holds mu.
func (j *journal) enqueue(x flawless.Entry, attempts []core.Attempt) {
	at := len(j.outbox)
	j.outbox = append(j.outbox, pending{entry: x})
	for _, t := range attempts {
		c := j.s.Call(t.Call)
		waits, ok := "", true
		if c != nil {
			waits, ok = j.reg.o.Limits.Take(c.Policy().Host, c.Policy().Port)
		}
		if ok {
			j.outbox[at].attempts = append(j.outbox[at].attempts, t)
			continue
		}
		wait := j.s.WaitEntry(t, waits)
		j.s.Step(wait)
		j.outbox = append(j.outbox, pending{entry: wait, queued: []queued{queuedAs(t, c)}})
	}
}

// position returns where entries are written: after the last record, or over it. The caller holds mu.
func (j *journal) position(entries []flawless.Entry) (seq uint64, all []flawless.Entry) {
	if len(j.tail) > 0 && j.sealed < j.seq && core.OnlyLateAttempts(entries) {
		if all := core.MergeLateAttempts(j.tail, entries); len(all) <= core.MaxLateAttempts {
			j.tail = all
			return j.seq - 1, all
		}
	}
	if j.tail = nil; core.OnlyLateAttempts(entries) {
		j.tail = entries
	}
	j.seq++
	return j.seq - 1, entries
}

// waitWritten waits until no write is in progress. The caller holds mu, which is released during the wait.
func (j *journal) waitWritten() {
	for j.writing {
		j.idle.Wait()
	}
}

// endWrite lets the next write begin.
func (j *journal) endWrite() {
	j.mu.Lock()
	j.writing = false
	j.idle.Broadcast()
	j.mu.Unlock()
}

// flush writes the outbox and begins the attempts that depend on it. When it returns, everything that was in the outbox at
// the call is durable, or the engine has stopped.
func (r *Run) flush() {
	r.part.tasks.Begin() // attempts that follow from the write are counted before it ends
	defer r.part.tasks.End()
	r.write(false)
	r.released() // its driver may have ended in the meantime
}

// write is flush for the driver of the run. With keep it returns one of the attempts that follow, for which the run is
// retained, and leaves it to the caller. The run stays in memory until everything that follows from the write has started:
// otherwise a second Run, loaded from the log, would treat attempts about to begin as lost.
func (r *Run) write(keep bool) (kept *begun) {
	g := r.reg
	r.mu.Lock()
	r.waitWritten()
	if len(r.outbox) > 0 && r.gone && r.failed == nil && !r.part.life.Over() {
		r.failed = fmt.Errorf("run %s changed after it had left memory, which is a bug in the engine", r.id)
		g.o.Log.Error("discarded a change to a run that had left memory; this is a bug in the engine", "error", r.failed)
		r.idle.Broadcast()
	}
	if len(r.outbox) == 0 || r.failed != nil {
		r.handOver(r.outbox)
		r.outbox = nil
		r.mu.Unlock()
		return nil
	}
	batch, data := r.outbox, r.data
	r.outbox, r.data = nil, nil
	w := store.Write{ID: r.id, New: r.stored == nil, Keyed: r.s.Start().Parent == "" && retention.Keyed(r.id), Data: data, Catalog: r.catalog}
	r.catalog = nil
	entries := make([]flawless.Entry, len(batch))
	for i, p := range batch {
		entries[i] = p.entry
	}
	w.Seq, w.Entries = r.position(entries)
	state := r.s.Summary()
	head := r.head(state)
	if r.stored == nil || !sameHead(*r.stored, head) || r.rowMustChange() {
		head.Run.Waiting = r.waiting(head.Run.Status)
		w.Before, w.After = r.stored, &head
	}
	r.rowIs(w.After != nil)
	r.writing = true
	r.begun++
	upgraded := slices.ContainsFunc(batch, func(p pending) bool { return p.entry.Upgrade != nil })
	if r.imaged && (r.s.Outcome() != "" || upgraded) {
		w.Forget, r.imaged = true, false
	}
	summary := r.visible(state)
	if g.o.Hub.Watched() {
		summary.Waiting = r.waiting(summary.Status)
	}
	r.mu.Unlock()
	cut := w.Forget && g.isCut(r.id)
	w.Forget = w.Forget && !cut

	var at store.Position
	err := r.part.life.WhenSpace(func() (err error) {
		at, err = g.o.Store.WriteAt(context.Background(), g.o.Lease, w)
		return err
	})

	// No other write begins, and the run stays in memory, until all consequences of this write have started and are
	// published. So they happen in the order of the records.
	defer r.endWrite()
	r.mu.Lock()
	switch {
	case errors.Is(err, flawless.Fenced): // the shard is lost, see store.Lease.OnLost
		err = r.part.life.Err()
		r.failed = err
	case err != nil:
		r.failed = err
	case w.After != nil:
		g.retrying.note(r.id, r.stored != nil && len(r.stored.Run.Retrying) > 0, len(w.After.Run.Retrying) > 0)
		r.stored = w.After
	}
	if err == nil {
		r.written = r.begun
		g.wrote(&w)
	}
	r.idle.Broadcast()
	r.mu.Unlock()
	if w.New {
		r.loadErr = err
		close(r.loaded)
	}
	if err != nil {
		r.handOver(batch)
		r.notWritten(w.New, err)
		return nil
	}
	return r.follow(batch, &w, at, summary, cut, keep)
}

// notWritten handles a run whose write failed.
func (r *Run) notWritten(created bool, err error) {
	g := r.reg
	switch tooLarge := errors.Is(err, flawless.TooLarge); {
	case created && (tooLarge || errors.Is(err, flawless.Conflict)):
		// It may have been admitted under the id of the stored run.
		if err := g.o.Admission.LeaveEnded(r.part.life.Calls, r.id); err != nil {
			g.o.Log.Error("releasing the admission of a run that never began failed", "run", r.id, "error", err)
		}
	case tooLarge: // the store has not changed: discard the run in memory; other runs continue
		g.quarantineUnread(r.id, err)
		r.mu.Lock()
		r.problem = err.Error()
		summary := r.summary()
		r.mu.Unlock()
		g.o.Tasks.Go(func() { g.evict(r) })
		g.o.Hub.Publish(summary)
	case isElsewhere(err): // the next owner continues the run
	default:
		g.o.Lifecycle.Break(err)
	}
}

// follow carries out the consequences of a durable write. See write for keep and the result.
func (r *Run) follow(batch []pending, w *store.Write, at store.Position, summary flawless.Run, cut, keep bool) (kept *begun) {
	g := r.reg
	for _, p := range batch {
		for _, q := range p.queued {
			r.queue(q)
		}
	}
	for _, p := range batch {
		for _, t := range p.attempts {
			if keep && kept == nil {
				r.Retain()
				kept = &begun{t, at}
				continue
			}
			r.startAttempt(begun{t, at})
		}
	}
	r.endWithdrawn(batch)
	r.carryFrom(batch)
	if w.After != nil && w.After.Wake != 0 {
		g.o.Clock.Add(w.After.Wake, r.id)
	}
	if summary.Status.Ended() {
		g.o.Admission.Leave(admit.RunOf(summary))
		for _, k := range g.o.Kinds {
			if k.Ended != nil {
				k.Ended(r.id)
			}
		}
	}
	g.o.Hub.Publish(summary)
	if cut {
		g.dropGuestOfImage(r.id)
	}
	return kept
}

// durable waits until the current state of the run is durable, and returns it. The caller holds mu, which is released
// during the wait.
func (r *Run) durable(ctx context.Context) (flawless.Run, error) {
	stop := context.AfterFunc(ctx, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.idle.Broadcast()
	})
	defer stop()
	summary, upTo := r.summary(), r.begun
	if len(r.outbox) > 0 {
		upTo++
	}
	for r.written < upTo && r.failed == nil && ctx.Err() == nil && !r.part.life.Over() {
		r.idle.Wait()
		if r.written < upTo && len(r.outbox) > 0 && r.begun < upTo {
			summary = r.summary() // the next write will contain more
		}
	}
	switch {
	case r.written >= upTo:
		if len(r.outbox) == 0 && r.written == r.begun {
			summary = r.summary()
		}
		return summary, nil
	case r.failed != nil && flawless.CodeOf(r.failed) == "":
		return summary, fmt.Errorf("run %s: it is unknown whether this was written; check the run when the server is up again: %w: %w", r.id, r.failed, flawless.Stopping)
	case r.failed != nil:
		return summary, r.failed
	case ctx.Err() != nil:
		return summary, ctx.Err()
	}
	return summary, fmt.Errorf("run %s: %w", r.id, r.part.life.Err())
}

// head returns the head of the run to store. state is its summary. The caller holds mu.
func (r *Run) head(state flawless.Run) store.Head {
	h := store.Head{Run: state, Active: r.s.Active(), Wake: r.s.NextWake()}
	h.Run.Problem = r.problem
	h.Run.Output = nil // it is in the log
	if r.problem != "" && r.s.Outcome() == "" {
		h.Run.Status, h.Active, h.Wake, h.Run.Retrying, h.Run.RetryingCalls = flawless.Unresolved, r.retried, 0, nil, 0
	}
	return h
}

// sameHead reports whether a head need not be written again at once, because only counts and calls in flight differ, which
// can be read from the log. See rowMustChange.
// Whether there was a turn matters: a run may have been paused in its first.
func sameHead(a, b store.Head) bool {
	if p, q := a.Run.Pause, b.Run.Pause; (p == nil) != (q == nil) || p != nil && *p != *q {
		return false
	}
	return a.Active == b.Active && a.Run.Digest == b.Run.Digest && a.Wake == b.Wake && a.Run.Status == b.Run.Status && a.Run.Problem == b.Run.Problem &&
		(a.Run.Turns == 0) == (b.Run.Turns == 0) && a.Run.CancelRequested == b.Run.CancelRequested && maps.Equal(a.Run.Labels, b.Run.Labels) && sameDoubts(a.Run.Unresolved, b.Run.Unresolved) && a.Run.RetryingCalls == b.Run.RetryingCalls && sameRetrying(a.Run.Retrying, b.Run.Retrying)
}

// sameDoubts reports whether the outcomes of the same calls are unknown, and the same is known of who made them.
func sameDoubts(a, b []flawless.Doubt) bool {
	return slices.EqualFunc(a, b, func(a, b flawless.Doubt) bool { return a.Call == b.Call && a.Unseen == b.Unseen })
}

// sameRetrying reports whether the same calls are retried at the same times.
func sameRetrying(a, b []flawless.Retrying) bool {
	return slices.EqualFunc(a, b, func(a, b flawless.Retrying) bool {
		return a.Call == b.Call && a.Attempts == b.Attempts && (a.Next == nil) == (b.Next == nil) && (a.Next == nil || a.Next.Equal(*b.Next))
	})
}

// summary returns the current state of the run. The caller holds mu.
func (r *Run) summary() flawless.Run {
	a := r.visible(r.s.Summary())
	a.Waiting = r.waiting(a.Status)
	return a
}

// visible adds to the summary of a run what its log does not contain. The caller holds mu.
func (r *Run) visible(a flawless.Run) flawless.Run {
	a.Problem = r.problem
	switch {
	case a.Status.Ended() || a.Status == flawless.Unresolved || a.Status == flawless.Paused:
	case r.problem != "":
		a.Status, a.Retrying, a.RetryingCalls = flawless.Unresolved, nil, 0
	case r.stop != nil && r.stored != nil:
		a.Status = flawless.Running
		if since := r.computes; !since.IsZero() && time.Since(since) >= min(time.Second, r.reg.o.LongTurn) {
			a.Computing = &since
		}
	}
	return a
}
