package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/admit"
	"github.com/flawless-engine/flawless/internal/clock"
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/guest"
	"github.com/flawless-engine/flawless/internal/hub"
	"github.com/flawless-engine/flawless/internal/library"
	"github.com/flawless-engine/flawless/internal/policy"
	"github.com/flawless-engine/flawless/internal/ratelimit"
	"github.com/flawless-engine/flawless/internal/redact"
	"github.com/flawless-engine/flawless/internal/residency"
	"github.com/flawless-engine/flawless/internal/retention"
	"github.com/flawless-engine/flawless/internal/schedule"
	"github.com/flawless-engine/flawless/internal/scrub"
	"github.com/flawless-engine/flawless/internal/statelock"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/task"
	"github.com/flawless-engine/flawless/internal/vault"
)

// Options says what an engine works with. Store, Guest and Kinds are needed.
type Options struct {
	Store *store.Store
	Guest *guest.Runtime
	// OwnCode says that the compiled code which Guest keeps is of this store alone: what no run needs is
	// removed.
	OwnCode bool
	Kinds   []effect.Kind
	Space   store.Spacer // asked before new work is taken; nil is unlimited
	Log     *slog.Logger
	Owner   string        // names this server in the lease
	Live    int           // guests kept in memory at most; 0 leaves it to Memory
	Rest    time.Duration // a waiting guest leaves memory after this time; 0 is 5 s
	// Patience is how long an entry may wait for its turn to be finished, so that both share a
	// write. After it the entry is written by itself: a known outcome must not be lost to a long
	// computation. 0 is 2 ms.
	Patience time.Duration
	TurnTime time.Duration    // a turn that takes longer fails its run; 0 is unlimited
	Now      func() time.Time // the wall clock; nil is time.Now
	Freezing Freezing
	Memory   int64        // bytes that the process should take at most; 0 is half of what it may, less is unlimited
	URL      string       // where the outside reaches the server; runs tell it to those who are to settle a promise
	Vault    *vault.Vault // keeps the secrets; nil is none
	Hide     []string     // what else is not shown, see redact.NewMask
	// RetryFor is for how long failed calls are retried where nobody says more; nil is flawless.DefaultRetryFor.
	RetryFor *time.Duration

	// For rehearsals.
	Virtual *clock.Virtual          // the clock, in place of Now; nil is none
	Seed    func(run string) []byte // 32 bytes, all randomness of a run; nil asks the system
	Loaded  []*guest.Module         // modules that need not be compiled; they are not closed

	resident     func() int64  // bytes that the process takes; nil asks the system
	longTurn     time.Duration // after which a turn is reported; 0 is 5 s
	initialising time.Duration // how long a module may take for that when it is added; 0 is 30 s
}

// counts are what happened since the engine was opened.
type counts struct {
	replayed  atomic.Int64 // guests made again from their log
	frozen    atomic.Int64 // images made
	thawed    atomic.Int64 // guests made again from an image
	fallbacks atomic.Int64 // images that were of no use
}

// Engine runs runs. All methods may be called concurrently.
type Engine struct {
	// Set by Open, and not changed afterwards.
	store    *store.Store
	guest    *guest.Runtime
	kinds    map[string]*effect.Kind // by name
	space    store.Spacer            // nil is unlimited
	log      *slog.Logger
	clockNow func() time.Time
	lease    store.Lease
	restFor  time.Duration // see Options
	patience time.Duration
	turnTime time.Duration
	longTurn time.Duration
	freezing Freezing
	url      string
	ownCode  bool
	vault    *vault.Vault
	mask     *redact.Mask
	virtual  *clock.Virtual
	seed     func(run string) []byte
	standing int // goroutines that it has while it is idle

	ctx        context.Context // of guests computing; ends with cancel when no new work is done
	cancel     context.CancelFunc
	performCtx context.Context // of calls in flight; ends with giveUp when their outcomes are not waited for any more
	giveUp     context.CancelFunc

	// Each of these has a lock of its own. Lock order: mu, the lock of a run, then those.
	tasks     task.Tasks           // all goroutines
	residency *residency.Residency // which guests are in memory, and compute
	ends      ends                 // which calls wait for the end of which run
	locks     *statelock.Locks     // states that runs share
	graph     statelock.Graph      // who waits for whom
	deadlocks statelock.Detector   // finds circles in it
	clock     *clock.Clock         // wakes runs
	schedules *schedule.Scheduler  // starts runs
	policy    *policy.Policy       // what operators say
	admission *admit.Control       // which runs may begin
	limits    *ratelimit.Limits    // which calls may begin
	scrubber  *scrub.Scrubber      // of a store with files of its own
	library   *library.Library     // modules
	hub       *hub.Hub             // who looks on
	looking   *semaphore.Weighted  // held by followers while they read
	retried   retried              // runs with a call that is being retried
	counts    counts               // what happened to guests
	outcomes  totals               // what happened to runs and calls

	// Written once or atomically, by anybody.
	stopping atomic.Bool                    // no new work
	dead     atomic.Bool                    // the drain is over, or the store is gone
	full     atomic.Bool                    // the store takes no new work
	roomy    chan struct{}                  // has an item when there is space again
	holding  atomic.Pointer[flawless.Pause] // holds every run back that is loaded; nil after the start
	fatal    atomic.Pointer[error]          // why the store was given up
	broke    chan struct{}                  // closed then

	mu   sync.Mutex        // guards what follows, and run.refs
	runs map[string]*run   // those in memory
	set  map[string]string // those that were quarantined, and why
}

// Open claims all runs of the store and sets going what has to go on. It returns before all of them
// have been looked at.
func Open(ctx context.Context, o Options) (*Engine, error) {
	e := &Engine{store: o.Store, guest: o.Guest, kinds: map[string]*effect.Kind{}, space: o.Space,
		url: strings.TrimSuffix(o.URL, "/"),
		log: o.Log, clockNow: o.Now, restFor: cmp.Or(o.Rest, 5*time.Second), patience: cmp.Or(o.Patience, 2*time.Millisecond), turnTime: o.TurnTime, longTurn: cmp.Or(o.longTurn, 5*time.Second),
		runs: map[string]*run{}, set: map[string]string{},
		roomy: make(chan struct{}, 1), broke: make(chan struct{}),
		looking: semaphore.NewWeighted(lookers)}
	e.ownCode = o.OwnCode
	e.freezing, e.vault = o.Freezing, o.Vault
	e.freezing.defaults()
	if e.log == nil {
		e.log = slog.New(slog.DiscardHandler)
	}
	if e.virtual, e.seed = o.Virtual, o.Seed; e.virtual != nil {
		e.clockNow = e.virtual.Now
	}
	if e.clockNow == nil {
		e.clockNow = time.Now
	}
	e.residency = residency.New(residency.Options{Live: o.Live, Memory: o.Memory, Idle: e.restFor, Now: e.now, Stopped: e.dead.Load,
		Trim: func() { e.library.Trim() }, Collect: e.space != nil, Resident: o.resident})
	for i := range o.Kinds {
		e.kinds[o.Kinds[i].Name] = &o.Kinds[i]
	}
	lease, err := e.store.Claim(ctx, o.Owner)
	if err != nil {
		return nil, fmt.Errorf("claiming the runs: %w", err)
	}
	e.lease = lease
	if e.vault != nil {
		if err := e.vault.Own(ctx, lease); err != nil {
			return nil, fmt.Errorf("taking over the secrets: %w", err)
		}
	}
	key, err := e.store.MaskKey(ctx, lease)
	if err != nil {
		return nil, err
	}
	if e.mask, err = redact.NewMask(key, o.Hide...); err != nil {
		return nil, err
	}
	e.hub = hub.New()
	e.ctx, e.cancel = context.WithCancel(context.Background())
	e.performCtx, e.giveUp = context.WithCancel(context.Background())
	e.library = library.New(library.Options{Store: e.store, Lease: e.lease, Guest: e.guest, Context: e.ctx, Now: e.clockNow, Go: e.tasks.Go, Initialising: o.initialising})
	for _, m := range o.Loaded {
		e.library.Preload(m)
	}
	e.scrubber = scrub.New(ctx, scrub.Options{Store: e.store, Lease: e.lease, Context: e.ctx, Dead: e.dead.Load, Log: e.log})
	e.clock = clock.New(clock.Options{Timers: e.store.Timers, Context: e.ctx, Now: e.clockNow, Touch: e.touch, Go: e.tasks.Go, Log: e.log, Virtual: e.virtual,
		Idle: func() bool { return e.tasks.Count() <= e.standing }})
	e.schedules = e.newScheduler()
	if err := e.schedules.Load(ctx); err != nil {
		return nil, fmt.Errorf("reading the schedules: %w", err)
	}
	if e.policy, err = e.newPolicy(ctx, o); err != nil {
		return nil, err
	}
	e.limits = e.newLimits()
	if err := e.limits.Load(ctx); err != nil {
		return nil, fmt.Errorf("reading the limits of hosts: %w", err)
	}
	e.locks = e.newLocks()
	e.deadlocks.Graph, e.deadlocks.Look, e.deadlocks.Tell = &e.graph, e.look, e.tellDeadlock
	e.admission = admit.New(admit.Options{Store: e.store, Modules: e.policy.Capped,
		Cap:    func(module string) int { return e.policy.Module(module).Concurrency },
		Wake:   func(run string) { e.tasks.Go(func() { e.touch(run) }) },
		Parked: e.parked})
	if err := e.admission.Load(ctx); err != nil {
		return nil, fmt.Errorf("reading the runs that queue: %w", err)
	}
	if err := e.holdAll(ctx); err != nil {
		e.Kill()
		return nil, fmt.Errorf("holding back the runs of a copied store: %w", err)
	}
	standing := []func(){func() { e.limits.Serve(e.ctx) }, e.schedules.Serve, e.retention().Serve, e.clock.Serve}
	if e.space != nil {
		standing = append(standing, e.watchSpace)
	}
	if e.store.CanCheck() {
		standing = append(standing, e.scrubber.Serve)
	}
	e.standing = len(standing)
	for _, run := range standing {
		e.tasks.Go(run)
	}
	e.tasks.Go(e.recover)
	return e, nil
}

// parked is called when a run waits for its concurrency key: others keep it back from now on, who may wait for it.
func (e *Engine) parked(run string) {
	if e.graph.IsAwaited(run) {
		e.tasks.Go(func() { e.breakDeadlock(run) })
	}
}

// retention returns what removes ended runs.
func (e *Engine) retention() *retention.Sweeper {
	o := retention.Options{Store: e.store, Lease: e.lease, Context: e.ctx, Now: e.clockNow, Settings: e.policy.Module, Log: e.log,
		InHand: func(run string) bool {
			e.mu.Lock()
			defer e.mu.Unlock()
			return e.runs[run] != nil
		}}
	if e.ownCode {
		o.Tidy = e.tidyCode
	}
	return retention.New(o)
}

// Mask hides what must not be shown of what the engine returns. Whoever shows it lets it go through
// [redact.Shown]; a bundle has gone through it already.
func (e *Engine) Mask() *redact.Mask { return e.mask }

// now is the wall clock in Unix nanoseconds.
func (e *Engine) now() int64 { return e.clockNow().UnixNano() }

// recover looks at every run that was doing something when the last owner stopped.
func (e *Engine) recover() {
	for {
		err := e.lookAtActive()
		if err == nil || e.ctx.Err() != nil {
			return
		}
		e.log.Error("the runs to go on with cannot be read, they are read again soon", "error", err)
		select {
		case <-e.ctx.Done():
			return
		case <-time.After(clock.Soon):
		}
	}
}

func (e *Engine) lookAtActive() error {
	atOnce := semaphore.NewWeighted(64)
	n := 0
	for id, err := range e.store.Active(e.ctx) {
		if err != nil {
			return err
		}
		if err := atOnce.Acquire(e.ctx, 1); err != nil {
			return err
		}
		n++
		e.tasks.Go(func() {
			defer atOnce.Release(1)
			e.touch(id)
		})
	}
	if n > 0 {
		e.log.Info("runs go on", "count", n)
	}
	return nil
}

// touch loads a run, which sets it going.
func (e *Engine) touch(id string) {
	r, err := e.acquire(e.ctx, id)
	if err != nil {
		if flawless.CodeOf(err) == "" && e.ctx.Err() == nil { // else it was set aside or removed, or the engine stops
			e.log.Error("a run that is to go on cannot be read, it is read again soon", "run", id, "error", err)
			e.clock.Put(e.now()+int64(clock.Soon), id)
		}
		return
	}
	r.mu.Lock()
	if r.stop != nil && !e.stopping.Load() {
		r.append(r.s.Fire(e.now())...) // whoever drives it looks only when the guest is done
		if r.s.Outcome() != "" {
			r.stop()
		}
	}
	r.wakeLocked()
	r.mu.Unlock()
	e.release(r)
}

// mayTurn tells whether guests may compute.
func (e *Engine) mayTurn() bool {
	return !e.stopping.Load() && !e.dead.Load() && !e.full.Load()
}

// write makes a write durable. Where there is no space it waits for it.
func (e *Engine) write(w store.Write) error {
	return e.whenSpace(func() error { return e.store.Write(context.Background(), e.lease, w) })
}

// whenSpace does something until it does not fail for want of space, or nothing may be written any
// more.
func (e *Engine) whenSpace(do func() error) error {
	for {
		if e.dead.Load() {
			return fmt.Errorf("nothing was written: %w", e.over())
		}
		err := do()
		if !errors.Is(err, flawless.Full) {
			return err
		}
		e.noteSpace()
		select {
		case <-time.After(time.Second):
		case <-e.performCtx.Done():
		}
	}
}

// broken stops all work: what the store holds is not known any more, or belongs to somebody else. Whoever runs the engine is told by [Engine.Broken]; the next start finds out what
// became of the calls in flight.
func (e *Engine) broken(err error) {
	if e.dead.Load() || !e.fatal.CompareAndSwap(nil, &err) {
		return
	}
	e.dead.Store(true)
	e.log.Error("the store has to be given up, no work is done any more", "error", err)
	e.cancel()
	e.giveUp()
	close(e.broke)
}

// Broken returns a channel that is closed when the store had to be given up. The engine does nothing
// from then on: close it, and open another one.
func (e *Engine) Broken() <-chan struct{} { return e.broke }

// Gone returns why the store had to be given up, as flawless.Stopping, or nil.
func (e *Engine) Gone() error {
	if why := e.fatal.Load(); why != nil {
		return fmt.Errorf("the store had to be given up, the server ends and has to be started again: %w: %w", *why, flawless.Stopping)
	}
	return nil
}

// over says why nothing is done any more.
func (e *Engine) over() error {
	if err := e.Gone(); err != nil {
		return err
	}
	return fmt.Errorf("the server is going down: %w", flawless.Stopping)
}

// Close stops in order: no run is started and no turn begun; calls in flight are waited for until
// ctx ends, and their answers written. What is still in flight then has an unknown outcome, which
// the next owner finds. The store is not closed.
func (e *Engine) Close(ctx context.Context) error {
	if e.stopping.Swap(true) {
		return nil
	}
	e.clock.Stop()
	e.cancel()
	e.residency.Close()
	drained := make(chan struct{})
	go func() { e.tasks.Wait(); close(drained) }()
	var err error
	select {
	case <-drained:
	case <-ctx.Done():
		err = fmt.Errorf("%d still in flight when the waiting ended; the next start finds out what can be known of them", e.tasks.Count())
		e.dead.Store(true)
		e.giveUp()
		<-drained
	}
	e.dead.Store(true)
	e.giveUp()
	e.hub.Close()
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, r := range e.runs {
		r.drop()
	}
	e.library.Close()
	return err
}

// Kill stops at once and writes nothing more, as a crash does. It is for tests.
func (e *Engine) Kill() {
	e.dead.Store(true)
	e.stopping.Store(true)
	e.giveUp()
	e.cancel()
	e.clock.Stop()
	e.residency.Close()
	e.tasks.Wait()
	e.hub.Stop()
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, r := range e.runs {
		r.drop()
	}
	e.library.Close()
}

// Health tells how the engine is.
func (e *Engine) Health() flawless.Health {
	code := e.guest.CodeSize()
	e.mu.Lock()
	defer e.mu.Unlock()
	id := e.store.Identity()
	live, _, _ := e.residency.Slots()
	h := flawless.Health{Version: flawless.Version, Store: id.ID, Start: e.lease.Epoch, Origin: id.Origin, State: "ok", Open: len(e.runs), Live: live, Aside: len(e.set), Retrying: e.retried.count(), Code: code,
		Replayed: e.counts.replayed.Load(), Frozen: e.counts.frozen.Load(), Thawed: e.counts.thawed.Load(), Fallbacks: e.counts.fallbacks.Load()}
	switch {
	case e.Gone() != nil:
		h.State, h.Message = "broken", e.over().Error()
	case e.stopping.Load():
		h.State, h.Message = "stopping", "the server is going down and takes no new work"
	case e.noteSpace(): // also before anybody has looked since the start
		_, why := e.space.Full()
		h.State, h.Message = "full", why
	default:
		if why := e.scrubber.Damage(); why != "" {
			h.State, h.Message = "damaged", "stored data cannot be read, work that does not need it goes on: "+why
		}
	}
	if e.store.CanCheck() {
		h.Check = e.scrubber.Health()
	}
	return h
}

// accepts returns nil where new work is taken.
func (e *Engine) accepts() error {
	switch {
	case e.dead.Load() || e.stopping.Load():
		return e.over()
	case e.noteSpace():
		_, why := e.space.Full()
		return fmt.Errorf("no new work is taken: %s: %w", why, flawless.Full)
	}
	return nil
}

// noteSpace asks the store whether it is full, and remembers it.
func (e *Engine) noteSpace() bool {
	if e.space == nil {
		return false
	}
	full, why := e.space.Full()
	switch was := e.full.Swap(full); {
	case full && !was:
		e.log.Warn("no new work is taken until there is space", "why", why)
	case was && !full:
		task.Poke(e.roomy)
	}
	return full
}

// watchSpace sets the runs going again when there is space, whoever notices it.
func (e *Engine) watchSpace() {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-e.ctx.Done():
			return
		case <-tick.C:
			e.noteSpace()
			if err := e.store.Failed(); err != nil {
				e.broken(err) // nobody may write for hours, and find out
			}
		case <-e.roomy:
			e.log.Info("there is space again, work goes on")
			e.goOn()
		}
	}
}

// goOn sets going the runs that could not compute, be they in memory or not.
func (e *Engine) goOn() {
	for _, r := range e.all() {
		r.mu.Lock()
		r.wakeLocked()
		r.mu.Unlock()
		e.release(r)
	}
	e.clock.Again()
	e.recover()
}
