package live

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/admit"
	"github.com/flawless-engine/flawless/internal/clock"
	"github.com/flawless-engine/flawless/internal/core"
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/hub"
	"github.com/flawless-engine/flawless/internal/library"
	"github.com/flawless-engine/flawless/internal/lifecycle"
	"github.com/flawless-engine/flawless/internal/policy"
	"github.com/flawless-engine/flawless/internal/ratelimit"
	"github.com/flawless-engine/flawless/internal/replay"
	"github.com/flawless-engine/flawless/internal/residency"
	"github.com/flawless-engine/flawless/internal/ring"
	"github.com/flawless-engine/flawless/internal/statelock"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/tally"
	"github.com/flawless-engine/flawless/internal/task"
)

// Handler carries out those consequences of a run's entries that reach beyond the run. Its methods are called without locks.
type Handler interface {
	// Errand begins to carry out a call within the engine, on another run or on a state that runs share. The errands
	// of a run are begun one after another. The same one may be begun again, and not only after a crash.
	Errand(r *Run, c *core.OpenCall)
	// Left is called when a run has ended that may hold states of other servers, or wait for them. It is called after its
	// errands were begun.
	Left(r *Run, states []string)
	// Ended is called when the end of a run is durable.
	Ended(run flawless.Run)
	// Rests is called when nothing is in progress for a run any more: it may be part of a deadlock.
	Rests(run string)
}

// Admission decides which runs may begin. The Registry calls it under the lock of a run, so its methods neither call the
// Registry nor wait for another server.
type Admission interface {
	// Admits reports whether a run that has not begun may take its first turn. If not, the run is woken when it may.
	Admits(r admit.Run) bool
	// Leave is told that a run has ended, when that is durable.
	Leave(r admit.Run)
	// LeaveEnded is told of a run that was not accepted. The store may have another one of its id, which has perhaps ended.
	LeaveEnded(ctx context.Context, id string) error
	// Blockers returns the runs that keep one from beginning, and in words what they use up.
	Blockers(id string) (runs []string, by string)
}

// Options configures a Registry. Everything but Ring, Late, TurnTime and Freezing is required.
type Options struct {
	Handler   Handler
	Store     *store.Store
	Lease     *store.Lease
	Kinds     map[string]*effect.Kind // by name
	Lifecycle *lifecycle.Lifecycle
	Tasks     *task.Tasks // all goroutines
	Now       func() int64
	Log       *slog.Logger
	URL       string // public URL of the server

	Residency *residency.Residency
	Admission Admission
	Limits    *ratelimit.Limits
	Policy    *policy.Policy
	Library   *library.Library
	Clock     *clock.Clock
	Hub       *hub.Hub
	Locks     *statelock.Locks
	Graph     *statelock.Graph

	Ring *ring.Ring // remembers calls, for a database that loses writes; nil is none
	Late Late       // takes outcomes that the next owner needs; nil is none

	// Patience is how long an entry waits for a turn to end, to share a write with it.
	Patience time.Duration
	TurnTime time.Duration // a turn that takes longer fails its run; 0 is unlimited
	LongTurn time.Duration // a turn that takes longer is reported
	Freezing Freezing
}

// Registry holds the runs that are in memory. All methods may be called concurrently.
//
// Six verbs say who may touch a run. No others are used for it:
//
//	acquire     get the one Run of an id, made from its log if it is not in memory; it stays until it is released
//	retain      keep a run that is acquired for one more owner
//	release     give it back; the last release lets it leave memory
//	seize       acquire a run and replace its driver, so that it takes no turn until it is released
//	evict       take its guest out of memory, and the run itself if nobody has acquired it
//	quarantine  stop a run that cannot continue; acquiring it fails until it is seized and mended
//
// A run belongs to a shard, and the Registry accepts the runs of those shards that it owns (Own, until Abandon). While mu
// is held, the runs in memory are of owned shards, though the work on a shard may be over (Lose) while its runs are still
// there. Abandon returns when they are gone; only then may the shard be owned again.
//
// Lock order: the lock of the Registry, the lock of a run, those of the components in Options.
type Registry struct {
	o Options // set by New

	Minutes tally.Clock // runs that start and end here, by minute

	// Each of these has a lock of its own, or is written atomically.
	retrying retrying                           // runs with a call that is being retried
	counts   counts                             // since New
	stale    stale                              // runs in memory whose row is stale
	holdBack atomic.Pointer[holdBack]           // holds back runs that are loaded; nil after the start
	lost     atomic.Pointer[Losses]             // calls that runs have made and their logs lack; nil after the start
	parts    [store.Shards]atomic.Pointer[part] // the shards that it owns; changed under mu
	owned    atomic.Int32                       // their number

	mu          sync.Mutex        // guards the fields below
	runs        map[string]*Run   // those in memory
	quarantined map[string]string // the reasons, by id
}

// New returns a Registry without runs. It accepts none before Own.
func New(o Options) *Registry {
	o.Freezing.defaults()
	g := &Registry{o: o, runs: map[string]*Run{}, quarantined: map[string]string{}}
	g.stale.runs, g.stale.more = map[string]struct{}{}, make(chan struct{}, 1)
	g.Minutes.Changed = make(chan struct{}, 1)
	return g
}

// add makes the Run of an id, acquired, or returns nil if its shard is not owned. The caller holds mu.
func (g *Registry) add(sh store.Shard, id string) *Run {
	p := g.parts[sh].Load()
	if p == nil {
		return nil
	}
	r := &Run{loaded: make(chan struct{})}
	r.refs.Store(1)
	r.reg, r.id, r.part, r.s = g, id, p, core.NewState(id, g.o.Kinds)
	r.idle.L = &r.mu
	r.slot.Guest = r
	g.runs[id] = r
	return r
}

// Create makes a run from its first entries and acquires it. The run is not durable yet: see [Run.Accepted]. Acquire waits
// until it is. Its first write expects the catalog with which its code was chosen, and fails with store.ErrStale if that has
// changed. Create returns nil if a run with that id is in memory or quarantined, and the error of Owns.
func (g *Registry) Create(id string, c *store.Catalog, entries []flawless.Entry) (*Run, error) {
	if err := g.Owns(id); err != nil {
		return nil, err
	}
	sh := store.ShardOf(id)
	g.mu.Lock()
	if g.runs[id] != nil || g.quarantined[id] != "" {
		g.mu.Unlock()
		return nil, nil
	}
	r := g.add(sh, id)
	g.mu.Unlock()
	if r == nil {
		return nil, elsewhere(sh)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.catalog = c
	for _, x := range entries {
		r.append(x)
	}
	r.wakeLocked()
	return r, nil
}

// Accepted waits until a run that was created is durable, and releases it. It returns flawless.Conflict if the store has
// another run with its id, and store.ErrStale with it if it has none, but the catalog has changed.
func (r *Run) Accepted(ctx context.Context) (flawless.Run, error) {
	summary, err := r.Durable(ctx)
	r.Release()
	if errors.Is(err, flawless.Conflict) {
		r.reg.evict(r)
		r.reg.Wake(r.id) // a Wake meant for the run in the store may have found this one instead
	}
	return summary, err
}

// Acquire returns the run with an id, and reads it from the store if it is not in memory. Until it is released, no second
// Run of that id is made. It returns flawless.NotFound, flawless.Damaged for a run that is quarantined, or
// flawless.Elsewhere if another server owns it.
func (g *Registry) Acquire(ctx context.Context, id string) (*Run, error) {
	sh := store.ShardOf(id)
	for {
		life, err := g.Life(sh)
		if err == nil && life.Over() { // the state in memory may never become durable
			err = life.Err()
		}
		if err != nil {
			return nil, fmt.Errorf("run %s: %w", id, err)
		}
		r, err := g.tryAcquire(ctx, sh, id)
		if !errors.Is(err, flawless.Conflict) {
			return r, err
		}
		g.evict(r) // it was created although the store has such a run
	}
}

// tryAcquire is Acquire. With flawless.Conflict it returns a Run that duplicates a stored run.
func (g *Registry) tryAcquire(ctx context.Context, sh store.Shard, id string) (*Run, error) {
	g.mu.Lock()
	if why, ok := g.quarantined[id]; ok {
		g.mu.Unlock()
		return nil, fmt.Errorf("run %s is quarantined: %s: %w", id, why, flawless.Damaged)
	}
	r := g.runs[id]
	if r != nil {
		r.refs.Add(1)
		g.mu.Unlock()
		select {
		case <-r.loaded:
		case <-ctx.Done():
			r.Release()
			return nil, ctx.Err()
		}
		if r.loadErr != nil {
			r.Release()
			return r, r.loadErr
		}
		return r, nil
	}
	if r = g.add(sh, id); r == nil {
		g.mu.Unlock()
		return nil, fmt.Errorf("run %s: %w", id, elsewhere(sh))
	}
	g.mu.Unlock()
	r.loadErr = r.load(context.WithoutCancel(ctx))
	if r.loadErr != nil {
		g.mu.Lock()
		delete(g.runs, id)
		g.mu.Unlock()
		if errors.Is(r.loadErr, flawless.Damaged) {
			g.quarantineUnread(id, r.loadErr)
		}
	}
	close(r.loaded)
	if r.loadErr != nil {
		return nil, r.loadErr
	}
	return r, nil
}

// load reads a run from its log. The outcome of attempts that had begun is lost: only the process that began them could
// have received it.
func (r *Run) load(ctx context.Context) error {
	g := r.reg
	p, err := g.read(ctx, r.id)
	if err != nil {
		return err
	}
	if p.lost != nil && (p.head.Active || p.head.Wake != 0 || len(p.head.Run.Unresolved) > 0) {
		return fmt.Errorf("the open calls of run %s, which has ended, are not carried out: %w", r.id, replay.TruncatedError(r.id, p.lost, nil, flawless.Damaged))
	}
	r.mu.Lock()
	r.s, r.seq, r.stored = p.s, p.seq, &p.head
	g.retrying.note(r.id, false, len(p.head.Run.Retrying) > 0)
	r.tail, r.sealed = p.tail, p.image.Seq
	if r.imaged, r.imageTurn, r.imageCost = p.image.Seq > 0, p.turn, p.cost; r.imaged {
		r.imageSize = len(p.image.Guest) + len(p.image.State)
		r.marks = []mark{{p.image.Seq, p.turn, p.cost}}
	}
	if l := g.lost.Load(); l != nil {
		r.append(r.s.Lose(l.Calls[r.id], l.Why, g.o.Now())...)
	}
	if h := g.holdBack.Load(); h != nil && h.which(r.id) {
		r.append(r.s.Hold(*h.pause, g.o.Now())...)
	}
	r.append(r.s.Recover(g.o.Now(), r.part.unseen, r.terms)...)
	if len(r.outbox) > 0 {
		r.wakeLocked()
	}
	queued := r.queuedAttempts()
	errands, ended := r.s.Errands(""), r.s.Outcome() != ""
	r.mu.Unlock()
	r.carry(errands, ended && len(errands) > 0)
	for _, q := range queued {
		r.queue(q)
	}
	return nil
}

// Retain keeps a run in memory until one more release. The run is acquired, driven or written. Retain takes no lock, so it
// may be called under any.
func (r *Run) Retain() { r.refs.Add(1) }

// Release gives a run back that was acquired or retained. The caller holds no lock.
func (r *Run) Release() {
	r.reg.mu.Lock()
	defer r.reg.mu.Unlock()
	r.refs.Add(-1)
	r.evictIdle()
}

// released is called when a driver or writer of the run is done.
func (r *Run) released() {
	r.reg.mu.Lock()
	defer r.reg.mu.Unlock()
	r.evictIdle()
}

// evictIdle evicts a run for which nothing is in progress. If it has a guest, the guest is offered for eviction first. The
// caller holds the lock of the Registry.
func (r *Run) evictIdle() {
	g := r.reg
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.driving || r.writing || len(r.outbox) > 0 || g.runs[r.id] != r {
		return
	}
	switch {
	case r.inst != nil:
		wake := int64(0)
		if r.refs.Load() == 0 { // else a call of it may be answered at any moment
			wake = r.s.NextWake()
		}
		g.o.Residency.Offer(&r.slot, wake)
	case r.refs.Load() == 0 && r.staleSince != 0 && r.failed == nil && !r.part.life.Stopping() && !r.part.life.Over():
		// KeepRows writes its row first, and releases it.
	case r.refs.Load() == 0:
		g.o.Residency.Withdraw(&r.slot)
		r.gone = true
		delete(g.runs, r.id)
	}
}

// evict removes from memory a Run that turned out to duplicate a stored run, or whose state is invalid.
func (g *Registry) evict(r *Run) {
	r.mu.Lock()
	for r.driving || r.writing {
		r.idle.Wait()
	}
	r.mu.Unlock()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.runs[r.id] != r {
		return
	}
	g.o.Residency.Withdraw(&r.slot)
	r.mu.Lock()
	r.evictGuest()()
	r.gone = true
	r.mu.Unlock()
	delete(g.runs, r.id)
}

// Evict takes the guest of a run out of memory, unless the run has a driver. It reports whether the guest leaves: at once,
// or after an image of it was written.
func (r *Run) Evict() bool {
	release := func() {}
	r.mu.Lock()
	idle := !r.driving && r.inst != nil
	switch {
	case !idle:
	case r.wantsImage(true): // the driver makes it, and evicts the guest then
		r.leaving = true
		r.wakeLocked()
	default:
		release = r.evictGuest()
	}
	r.mu.Unlock()
	release()
	r.released()
	return idle
}

// evictGuest takes the guest from the run, and returns a function that releases it. The log is enough to recreate the
// guest. The caller holds mu.
func (r *Run) evictGuest() (release func()) {
	inst, residency := r.inst, r.reg.o.Residency
	if inst == nil {
		return func() {}
	}
	r.inst = nil
	return func() {
		inst.Release()
		residency.Release()
	}
}

// Wake makes a run do what is due: it loads the run, and drives it if there is something to do. It does not wait for it.
func (g *Registry) Wake(id string) { g.wake(id, 0) }

// WakeDue is Wake, and returns when the run has done what was due and that is durable, or after a limit: the run may
// compute for long, or wait for memory. Callers that wake many runs use it to wake only some at once.
func (g *Registry) WakeDue(id string, limit time.Duration) { g.wake(id, limit) }

func (g *Registry) wake(id string, limit time.Duration) {
	r, err := g.Acquire(g.o.Lifecycle.Turns, id)
	if err != nil {
		if flawless.CodeOf(err) == "" && g.o.Lifecycle.Turns.Err() == nil { // else it is quarantined, was removed or is elsewhere, or the engine stops
			g.o.Log.Error("reading a run failed, will retry", "run", id, "error", err)
			g.o.Clock.Put(g.o.Now()+int64(clock.Soon), id)
		}
		return
	}
	r.mu.Lock()
	if r.stop != nil && !r.part.life.Stopping() {
		r.append(r.s.Fire(g.o.Now())...) // its driver looks only when the guest has computed
		if r.s.Outcome() != "" {
			r.stop()
		}
	}
	r.wakeLocked()
	if limit > 0 {
		r.waitDriven(limit)
	}
	r.mu.Unlock()
	r.Release()
}

// waitDriven waits until the run has no driver, for at most limit. The caller holds mu, which is released during the wait.
func (r *Run) waitDriven(limit time.Duration) {
	over := false
	timer := time.AfterFunc(limit, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		over = true
		r.idle.Broadcast()
	})
	defer timer.Stop()
	for r.driving && !over {
		r.idle.Wait()
	}
}

// WakeAll wakes every run in memory.
func (g *Registry) WakeAll() {
	var all []*Run
	g.mu.Lock()
	for _, r := range g.runs {
		select {
		case <-r.loaded:
		default:
			continue
		}
		if r.loadErr == nil {
			r.refs.Add(1)
			all = append(all, r)
		}
	}
	g.mu.Unlock()
	for _, r := range all {
		r.mu.Lock()
		r.wakeLocked()
		r.mu.Unlock()
		r.Release()
	}
}

// Each calls f for every run in memory, including those that were created and are not durable yet. F must not keep s, nor
// call the Registry.
func (g *Registry) Each(f func(id string, s *core.State)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, r := range g.runs {
		r.mu.Lock()
		f(r.id, r.s)
		r.mu.Unlock()
	}
}

// Has reports whether a run is in memory or quarantined.
func (g *Registry) Has(id string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.runs[id] != nil || g.quarantined[id] != ""
}

// InMemory reports whether a run is in memory, and whether its guest is.
func (g *Registry) InMemory(id string) (run, guest bool) {
	g.mu.Lock()
	r := g.runs[id]
	g.mu.Unlock()
	if r == nil {
		return false, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return true, r.inst != nil
}

// Losses are calls that runs have made, by run, and whose beginning the database has lost.
type Losses struct {
	Calls map[string][]core.Lost
	Why   string
}

// LoseCalls makes the outcome of such calls unknown in every run that is loaded from now on, until it is called with nil.
func (g *Registry) LoseCalls(l *Losses) { g.lost.Store(l) }

// holdBack says which runs are held back, and why.
type holdBack struct {
	pause *flawless.Pause
	which func(run string) bool
}

// HoldBack makes some runs hold back when they are loaded from now on, until it is called with nil.
func (g *Registry) HoldBack(p *flawless.Pause, which func(run string) bool) {
	if p == nil {
		g.holdBack.Store(nil)
		return
	}
	g.holdBack.Store(&holdBack{p, which})
}

// Close evicts all guests. No run may have a driver any more.
func (g *Registry) Close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, r := range g.runs {
		r.mu.Lock()
		r.evictGuest()()
		r.mu.Unlock()
	}
}
