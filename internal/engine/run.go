package engine

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
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/guest"
	"github.com/flawless-engine/flawless/internal/replay"
	"github.com/flawless-engine/flawless/internal/residency"
	"github.com/flawless-engine/flawless/internal/retention"
	"github.com/flawless-engine/flawless/internal/store"
)

// run is an open run in memory. It is a cache of its log, and of the guest at the end of it.
//
// Whoever changes state appends an entry; the first to do so while nobody drives the run drives it,
// in a goroutine of its own: it takes turns, writes, and performs, until there is nothing to do.
type run struct {
	e  *Engine
	id string

	// Guarded by mu.
	mu      sync.Mutex
	idle    sync.Cond          // signalled when a write ends or driving ends
	s       *core.State        // what the log amounts to, with the outbox
	seq     uint64             // of the next record
	stored  *store.Head        // as the store has it, nil before the first write
	outbox  []pending          // entries that are not written yet
	data    []byte             // to be written with them
	writing bool               // somebody writes, or makes an image: nobody else does
	driving bool               // somebody drives it
	kick    bool               // something happened since the driver last looked
	stop    context.CancelFunc // ends the turn that is being taken, nil where none is
	problem string             // why it takes no turn any more

	tail   []flawless.Entry // of the last record, where it tells of late tries only
	sealed uint64           // records before this one are not written over, there may be an image behind them

	taken   uint64 // writes that were begun
	written uint64 // and those that are durable
	failed  error  // a write failed: nothing more is written
	gone    bool   // it has left memory: whoever needs it makes it again from the log

	imaged    bool   // the store has an image of it
	imageTurn int    // turns when the last image was made
	imageCost uint64 // and what they had cost
	marks     []mark // records where images were made
	leaving   bool   // an image is to be made, and the guest given back

	flights map[int]context.CancelCauseFunc // by call: ends the exchange that is under way for it
	parked  []core.Try                      // that had a permit before the guest had heard what came before

	errands  []int // to be carried out, in order
	carrying bool  // somebody does
	parts    bool  // what it holds is to be released behind them

	since time.Time // the guest computes, zero where it does not; only the driver writes it

	// The driver's. While nobody drives, whoever evicts the guest has it, under mu.
	inst *guest.Instance // nil: to be made again from the log

	// The driver's alone.
	began   time.Time     // of the turn that is being taken
	tell    time.Duration // after which the turn is reported next
	late    *time.Timer   // writes what waits for the turn, nil where it is not needed
	senders int           // how many it remembered when it last looked for those that have ended

	refs int            // guarded by e.mu: who holds it
	seat residency.Seat // guarded by the lock of e.residency

	loaded  chan struct{} // closed when it was read from the store, or written there first
	loadErr error         // written before that
}

// pending is an entry on its way to the store, with what is to be done once it is there.
type pending struct {
	entry flawless.Entry
	tries []core.Try
	lined []lined // tries that wait for a place towards their hosts from then on
}

// append takes in entries and what follows from them. The caller holds mu.
func (r *run) append(entries ...flawless.Entry) {
	for _, e := range entries {
		r.pace(e, r.s.Step(e))
	}
	if len(entries) > 0 {
		for _, e := range r.s.Consequences() {
			r.pace(e, r.s.Step(e))
		}
	}
}

// pace puts an entry into the outbox with the tries that follow from it. Those for which there is no
// place towards their host wait, and the log says so in the same record. The caller holds mu.
func (r *run) pace(e flawless.Entry, tries []core.Try) {
	at := len(r.outbox)
	r.outbox = append(r.outbox, pending{entry: e})
	for _, t := range tries {
		c := r.s.Call(t.Call)
		waits, ok := "", true
		if c != nil {
			waits, ok = r.e.limits.Take(c.Policy().Host, c.Policy().Port)
		}
		if ok {
			r.outbox[at].tries = append(r.outbox[at].tries, t)
			continue
		}
		wait := r.s.WaitEntry(t, waits)
		r.s.Step(wait)
		r.outbox = append(r.outbox, pending{entry: wait, lined: []lined{{t, c.Policy().Host, c.Policy().Port}}})
	}
}

// wakeLocked makes sure that somebody drives the run. While its guest computes, what is waiting is
// written at once.
func (r *run) wakeLocked() {
	r.kick = true
	if !r.driving {
		r.driving = true
		r.e.tasks.Go(func() { r.goOn(r.drive()) })
		return
	}
	if r.stop != nil && len(r.outbox) > 0 {
		r.e.tasks.Go(r.flush)
	}
}

// drive takes turns, writes and performs until there is nothing to do. It returns the try that is
// left for the caller to perform, if there is one: most often there is just one, and the goroutine
// that is awake already is the best to perform it. The run is held until goOn has performed it.
func (r *run) drive() (left *core.Try) {
	for {
		r.mu.Lock()
		if left != nil && (r.kick || len(r.outbox) > 0) {
			r.mu.Unlock()
			r.part(left)
			left = nil
			continue
		}
		r.kick = false
		now := r.e.now()
		if !r.e.stopping.Load() {
			r.append(r.s.Fire(now)...)
		}
		if r.problem == "" && r.failed == nil && r.s.WantsTurn(now) && r.e.mayTurn() && r.admitted() {
			r.mu.Unlock()
			if err := r.takeTurn(); err != nil {
				r.fault(err)
			}
			r.mu.Lock()
		}
		if len(r.outbox) > 0 {
			r.mu.Unlock()
			r.part(left)
			left = r.write(true)
			continue
		}
		if leaves := r.leaving; leaves || r.wantsImage(false) {
			r.leaving = false
			r.mu.Unlock()
			r.part(left)
			left = nil
			r.freeze()
			r.mu.Lock()
			if leaves && !r.kick && len(r.outbox) == 0 {
				r.drop()
			}
			r.mu.Unlock()
			continue
		}
		if !r.kick {
			r.driving = false
			r.idle.Broadcast()
			r.mu.Unlock()
			r.e.rest(r)
			r.e.breakDeadlock(r.id)
			return left
		}
		r.mu.Unlock()
	}
}

// admitted tells whether the run may take a turn. It is woken when it may. The caller holds mu.
func (r *run) admitted() bool {
	if r.s.HasBegun() || r.s.CancelRequest() != nil {
		return true
	}
	start := r.s.Start()
	a := admit.Run{ID: r.id, Parent: start.Parent, Module: start.Module, Created: start.Time}
	if start.Place != nil {
		a.Place = *start.Place
	}
	return r.e.admission.Admits(a)
}

// part has a try that is left, if there is one, performed in a goroutine of its own.
func (r *run) part(left *core.Try) {
	if left != nil {
		r.e.tasks.Go(func() { r.goOn(left) })
	}
}

// goOn performs what drive has left, and drives the run again where nobody else does, until there
// is nothing left.
func (r *run) goOn(left *core.Try) {
	for left != nil {
		next := r.e.performed(r, *left)
		r.e.release(r)
		left = next
	}
}

// mustWait is called before the run waits for its turn. Without anything to write there is nothing to hurry: what
// comes meanwhile is written at once.
func (r *run) mustWait() {
	r.mu.Lock()
	waits := len(r.outbox) > 0
	r.mu.Unlock()
	if waits {
		r.mayTakeLong()
	}
}

// mayTakeLong sees to it that what waits for the turn is written when it takes too long. Most turns are over
// before anybody calls it, and need no timer.
func (r *run) mayTakeLong() {
	if r.late == nil {
		r.late = time.AfterFunc(max(0, r.e.patience-time.Since(r.began)), r.hurry)
	}
}

// hurry writes what waits for a turn that takes long.
func (r *run) hurry() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stop != nil && len(r.outbox) > 0 {
		r.e.tasks.Go(r.flush)
	}
}

// takeTurn lets the guest compute once and appends what came of it.
func (r *run) takeTurn() error {
	ctx, stop := context.WithCancel(r.e.ctx)
	defer stop()
	r.mu.Lock()
	r.stop = stop
	r.mu.Unlock()
	r.began = time.Now()
	defer func() {
		if r.late != nil {
			r.late.Stop()
			r.late = nil
		}
		r.mu.Lock()
		r.stop, r.since = nil, time.Time{}
		r.mu.Unlock()
	}()

	work := residency.NextTurn
	if r.inst == nil {
		if work = residency.FirstTurn; r.s.Turns() > 0 {
			work = residency.Heavy
			r.mayTakeLong() // it is replayed
		}
		if err := r.e.residency.Acquire(ctx, work, r.s.Start().Time, r.mustWait); err != nil {
			return err
		}
	}
	if err := r.e.residency.Compute.Acquire(ctx, work, 0, r.mustWait); err != nil {
		if r.inst == nil {
			r.e.residency.Release()
		}
		return err
	}
	defer r.e.residency.Compute.Release()
	if r.inst == nil {
		if err := r.revive(ctx); err != nil {
			r.e.residency.Release()
			return err
		}
	}
	r.mu.Lock()
	if !r.s.WantsTurn(r.e.now()) { // it was ended, or came into doubt, meanwhile
		r.mu.Unlock()
		return nil
	}
	in := guest.In{Time: max(r.e.now(), r.s.At()), As: r.ownSelf(), Answers: slices.Clone(r.s.Ready()[:min(len(r.s.Ready()), core.MaxBatch)])}
	n := r.s.Turns() + 1
	r.since, r.tell = time.Now(), r.e.longTurn
	r.mu.Unlock()

	out, err := r.compute(ctx, in)
	if err != nil {
		return err
	}

	r.mu.Lock()
	defer r.mu.Unlock()
	if r.s.Outcome() != "" {
		// Somebody terminated the run while the guest computed. The turn was never written, so it
		// was never taken.
		r.drop()
		return nil
	}
	t := &flawless.Turn{N: n, Time: in.Time, Calls: out.Calls, Lines: out.Lines, Data: out.Data,
		Wake: out.Wake, Ended: out.Ended, Cost: out.Cost, Labels: out.Labels, Steps: out.Steps, As: in.As}
	core.FitLabels(r.s.Labels(), t)
	for _, a := range in.Answers {
		t.Answers = append(t.Answers, a.Call)
	}
	if t.Ended == nil && r.s.IsStuck(t) {
		t.Ended = &flawless.Ended{Failure: &flawless.Failure{Kind: "stuck",
			Message: "the run waits for nothing: no call, timer or message can ever wake it", Stack: r.inst.Blocked(ctx)}}
		t.Lines = append(t.Lines, flawless.Leave(t.Ended, flawless.OpenSteps(r.s.OpenSteps(), t.Steps))...)
	}
	if replay.StoppedForTime(t) { // the guest is not there to say so
		t.Lines = append(t.Lines, flawless.Leave(t.Ended, r.s.OpenSteps())...)
	}
	if t.Data != nil {
		r.data = t.Data
	}
	r.append(r.s.TurnEntry(t, r.e.now()))
	r.unpark()
	if t.Ended != nil && r.inst != nil {
		r.e.tasks.Go(r.detach()) // beside the write that follows
	}
	return nil
}

// unpark lines up again the tries that waited for the turn just taken. The caller holds mu.
func (r *run) unpark() {
	last := &r.outbox[len(r.outbox)-1]
	for _, t := range r.parked {
		if c := r.s.Call(t.Call); c != nil && c.Waits() {
			last.lined = append(last.lined, lined{t, c.Policy().Host, c.Policy().Port})
		}
	}
	r.parked = nil
}

// fault is what becomes of a turn that could not be taken: the run is set aside.
func (r *run) fault(err error) {
	r.mu.Lock()
	if r.s.Outcome() != "" || r.e.ctx.Err() != nil || errors.Is(err, context.Canceled) {
		r.mu.Unlock()
		return
	}
	for r.writing {
		r.idle.Wait()
	}
	r.writing = true
	r.problem = err.Error()
	r.drop()
	w := store.Write{ID: r.id, Before: r.stored}
	state := r.s.Account()
	head, account := r.head(state), r.told(state)
	w.After = &head
	r.mu.Unlock()
	r.e.aside(r.id, err)
	failed := r.e.write(w)
	r.mu.Lock()
	r.writing = false
	if failed == nil {
		r.stored = &head
	}
	r.idle.Broadcast()
	r.mu.Unlock()
	if failed != nil {
		r.e.log.Error("a run that was set aside could not be marked", "run", r.id, "error", failed)
		return
	}
	r.e.hub.Publish(account)
}

// drop gives the guest back. Its log is all that is needed to make it again.
func (r *run) drop() {
	if r.inst != nil {
		r.detach()()
	}
}

// detach takes the guest away and returns what gives it back.
func (r *run) detach() func() {
	i, e := r.inst, r.e
	r.inst = nil
	return func() {
		i.Release()
		e.residency.Release()
	}
}

// flush writes what is in the outbox, and performs what waited for it. When it returns, everything
// that was in the outbox when it was called is durable, or the engine has stopped.
func (r *run) flush() {
	r.write(false)
	r.e.rest(r) // who drives it may have ended meanwhile
}

// write is flush for whoever drives the run; with keep it returns one of the tries to be performed,
// unperformed, for which the run is held. Until all that follows from the write is under way the run stays
// in memory: nobody may make a second one of it from the log, which would find the tries lost that are just
// to be performed.
func (r *run) write(keep bool) (kept *core.Try) {
	r.mu.Lock()
	for r.writing {
		r.idle.Wait()
	}
	if len(r.outbox) > 0 && r.gone && r.failed == nil {
		r.failed = fmt.Errorf("run %s: something happened to it after it had left memory", r.id)
		r.e.log.Error("a defect of the engine: nothing of this was written", "error", r.failed)
		r.idle.Broadcast()
	}
	if len(r.outbox) == 0 || r.failed != nil {
		r.outbox = nil
		r.mu.Unlock()
		return nil
	}
	batch, data := r.outbox, r.data
	r.outbox, r.data = nil, nil
	w := store.Write{ID: r.id, New: r.stored == nil, Keyed: r.s.Start().Parent == "" && retention.Keyed(r.id), Data: data}
	entries := make([]flawless.Entry, len(batch))
	for i, p := range batch {
		entries[i] = p.entry
	}
	w.Seq, w.Entries = r.place(entries)
	state := r.s.Account()
	if head := r.head(state); r.stored == nil || !same(*r.stored, head) {
		w.Before, w.After = r.stored, &head
	}
	r.writing = true
	r.taken++
	upgraded := slices.ContainsFunc(batch, func(p pending) bool { return p.entry.Upgrade != nil })
	if r.imaged && (r.s.Outcome() != "" || upgraded) {
		w.Forget, r.imaged = true, false
	}
	account := r.told(state)
	r.mu.Unlock()
	cut := w.Forget && r.e.isCut(r.id)
	w.Forget = w.Forget && !cut

	err := r.e.write(w)

	// Nobody writes on, and the run stays, before all that follows from this write is under way and told,
	// in the order of the records: what follows from a later one must not come before it.
	defer func() {
		r.mu.Lock()
		r.writing = false
		r.idle.Broadcast()
		r.mu.Unlock()
	}()
	r.mu.Lock()
	switch {
	case err != nil:
		r.failed = err
	case w.After != nil:
		r.e.retried.note(r.id, r.stored != nil && len(r.stored.Run.Retrying) > 0, len(w.After.Run.Retrying) > 0)
		r.stored = w.After
	}
	if err == nil {
		r.written = r.taken
		r.e.outcomes.wrote(&w)
	}
	r.idle.Broadcast()
	r.mu.Unlock()
	if w.New {
		r.loadErr = err
		close(r.loaded)
	}
	if err != nil {
		switch tooLarge := errors.Is(err, flawless.TooLarge); {
		case w.New && (tooLarge || errors.Is(err, flawless.Conflict)):
			// It may have been admitted, in the name of the run that is there.
			if err := r.e.admission.LeaveEnded(r.e.performCtx, r.id); err != nil {
				r.e.log.Error("a run that never began could not give its admission back", "run", r.id, "error", err)
			}
		case tooLarge: // nothing has changed: what is in memory of it is void, and the others go on
			r.e.setAside(r.id, err)
			r.mu.Lock()
			r.problem = err.Error()
			account = r.account()
			r.mu.Unlock()
			r.e.tasks.Go(func() { r.e.forget(r) })
			r.e.hub.Publish(account)
		default:
			r.e.broken(err)
		}
		return nil
	}
	for _, p := range batch {
		for _, w := range p.lined {
			r.queue(w)
		}
	}
	for _, p := range batch {
		for _, t := range p.tries {
			if keep && kept == nil {
				r.e.hold(r)
				kept = &t
				continue
			}
			r.e.perform(r, t)
		}
	}
	r.letGo(batch)
	r.e.after(r, batch)
	if w.After != nil && w.After.Wake != 0 {
		r.e.clock.Add(w.After.Wake, r.id)
	}
	if account.Status.Ended() {
		r.e.admission.Leave(r.id)
		for _, k := range r.e.kinds {
			if k.Ended != nil {
				k.Ended(r.id)
			}
		}
	}
	r.e.hub.Publish(account)
	if cut {
		r.e.keepState(r.id)
	}
	return kept
}

// head is what the store should know of the run, whose state is accounted for. The caller holds mu.
func (r *run) head(state flawless.Run) store.Head {
	h := store.Head{Run: state, Active: r.s.Active(), Wake: r.s.NextWake()}
	h.Run.Problem = r.problem
	h.Run.Output = nil // it is in the log
	if r.problem != "" && r.s.Outcome() == "" {
		h.Run.Status, h.Active, h.Wake, h.Run.Retrying, h.Run.RetryingCalls = flawless.Unresolved, false, 0, nil, 0
	}
	return h
}

// same tells whether a head need not be written again: only counts differ, which the log knows. Whether
// there was a turn is no count: a run may have been paused in its first.
func same(a, b store.Head) bool {
	if p, q := a.Run.Pause, b.Run.Pause; (p == nil) != (q == nil) || p != nil && *p != *q {
		return false
	}
	return a.Active == b.Active && a.Run.Digest == b.Run.Digest && a.Wake == b.Wake && a.Run.Status == b.Run.Status && a.Run.Problem == b.Run.Problem &&
		(a.Run.Turns == 0) == (b.Run.Turns == 0) && a.Run.CancelRequested == b.Run.CancelRequested && maps.Equal(a.Run.Labels, b.Run.Labels) && len(a.Run.Unresolved) == len(b.Run.Unresolved) && a.Run.RetryingCalls == b.Run.RetryingCalls && sameRetrying(a.Run.Retrying, b.Run.Retrying)
}

// sameRetrying tells whether the same calls are tried again for the same time: when that begins is the time
// at which the run wakes, or one that is compared with it.
func sameRetrying(a, b []flawless.Retrying) bool {
	return slices.EqualFunc(a, b, func(a, b flawless.Retrying) bool {
		return a.Call == b.Call && a.Tries == b.Tries && (a.Next == nil) == (b.Next == nil) && (a.Next == nil || a.Next.Equal(*b.Next))
	})
}

// account is the run as it is at this moment. The caller holds mu.
func (r *run) account() flawless.Run { return r.told(r.s.Account()) }

// told is account of a run whose state is accounted for. The caller holds mu.
func (r *run) told(a flawless.Run) flawless.Run {
	a.Problem = r.problem
	switch {
	case a.Status.Ended() || a.Status == flawless.Unresolved || a.Status == flawless.Paused:
	case r.problem != "":
		a.Status, a.Retrying, a.RetryingCalls = flawless.Unresolved, nil, 0
	case r.stop != nil && r.stored != nil:
		a.Status = flawless.Running
		if since := r.since; !since.IsZero() && time.Since(since) >= min(time.Second, r.e.longTurn) {
			a.Computing = &since
		}
	}
	return a
}

// perform carries out a try in a goroutine of its own, and what follows from it.
func (e *Engine) perform(r *run, t core.Try) {
	e.hold(r)
	e.tasks.Go(func() { r.goOn(&t) })
}

// performed carries out a try and takes in its result. Where nobody drives the run it does, and
// returns the try that is left by that.
func (e *Engine) performed(r *run, t core.Try) (left *core.Try) {
	r.mu.Lock()
	c := r.s.Call(t.Call)
	if c == nil || c.Tries() != t.N || e.dead.Load() {
		r.mu.Unlock()
		return nil
	}
	entries, within := r.s.Recheck(t, e.now(), r.terms(c))
	if entries == nil {
		result, ok := r.perform(c, t, within)
		if !ok {
			return nil
		}
		r.mu.Lock()
		entries = r.s.Result(t, result, e.now(), r.terms(c))
	}
	if len(entries) == 0 {
		r.mu.Unlock()
		return nil
	}
	r.append(entries...)
	if r.driving {
		r.wakeLocked()
		r.mu.Unlock()
		return nil
	}
	r.driving = true
	r.mu.Unlock()
	return r.drive()
}

// terms returns what the operator and the module say of a call. The caller holds mu.
func (r *run) terms(c *core.OpenCall) core.Terms {
	start := r.s.Start()
	return r.e.policy.Terms(start.Module, start.Digest, c.Policy())
}

// perform carries out a try, and returns false where the engine has died meanwhile: the next owner finds the
// outcome unknown. The caller holds mu, which is given back.
func (r *run) perform(c *core.OpenCall, t core.Try, within time.Duration) (effect.Result, bool) {
	start := r.s.Start()
	kind, job := c.Effect(), effect.Try{Run: r.id, Call: c.Call, N: t.N, Seed: start.Seed, Policy: c.Policy(), Within: within, Past: r.s.PastCalls()}
	if origin := start.Origin; origin != nil {
		job.Of = origin.Of
	}
	ctx, stop := context.WithCancelCause(r.e.performCtx)
	if r.flights == nil {
		r.flights = map[int]context.CancelCauseFunc{}
	}
	r.flights[t.Call] = stop
	r.mu.Unlock()
	r.e.outcomes.begun.Add(1)
	result := r.e.try(ctx, kind, job)
	r.e.outcomes.tried(result.Outcome)
	stop(nil)
	r.mu.Lock()
	delete(r.flights, t.Call)
	r.mu.Unlock()
	return result, !r.e.dead.Load()
}

// try performs, and turns a panic of the performer into an unknown outcome.
func (e *Engine) try(ctx context.Context, kind *effect.Kind, t effect.Try) (res effect.Result) {
	defer func() {
		if p := recover(); p != nil {
			e.log.Error("performing a call panicked", "run", t.Run, "call", t.Call.N, "panic", p)
			text := fmt.Sprintf("the engine failed while it performed the call: %v", p)
			res = effect.Result{Outcome: effect.Unknown, Text: text, Answer: effect.UnknownAnswer(t.Run, t.Call, t.Policy.Idempotent, text, "", 0)}
		}
	}()
	return kind.Perform(ctx, t)
}

var errAbandoned = errors.New("nobody waits for its outcome any more")

// letGo gives up what withdrawn calls still have when that is durable: a place in the queue of a limit, or an
// exchange that is under way.
func (r *run) letGo(batch []pending) {
	for _, p := range batch {
		if p.entry.Arrival == nil || !effect.IsWithdrawn(p.entry.Arrival.Answer) {
			continue
		}
		r.e.limits.Leave(r, p.entry.Arrival.Call)
		r.mu.Lock()
		stop := r.flights[p.entry.Arrival.Call]
		r.mu.Unlock()
		if stop != nil {
			stop(errAbandoned)
		}
	}
}
