package engine

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/flawless-engine/flawless/internal/admit"
	"github.com/flawless-engine/flawless/internal/borrow"
	"github.com/flawless-engine/flawless/internal/clock"
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/errand"
	"github.com/flawless-engine/flawless/internal/examine"
	"github.com/flawless-engine/flawless/internal/follow"
	"github.com/flawless-engine/flawless/internal/guest"
	"github.com/flawless-engine/flawless/internal/history"
	"github.com/flawless-engine/flawless/internal/hub"
	"github.com/flawless-engine/flawless/internal/late"
	"github.com/flawless-engine/flawless/internal/library"
	"github.com/flawless-engine/flawless/internal/lifecycle"
	"github.com/flawless-engine/flawless/internal/live"
	"github.com/flawless-engine/flawless/internal/policy"
	"github.com/flawless-engine/flawless/internal/ratelimit"
	"github.com/flawless-engine/flawless/internal/redact"
	"github.com/flawless-engine/flawless/internal/residency"
	"github.com/flawless-engine/flawless/internal/retention"
	"github.com/flawless-engine/flawless/internal/ring"
	"github.com/flawless-engine/flawless/internal/rpc"
	"github.com/flawless-engine/flawless/internal/schedule"
	"github.com/flawless-engine/flawless/internal/scrub"
	"github.com/flawless-engine/flawless/internal/statelock"
	"github.com/flawless-engine/flawless/internal/stats"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/task"
	"github.com/flawless-engine/flawless/internal/upgrade"
	"github.com/flawless-engine/flawless/internal/vault"
)

// Options configures an Engine. Store, Guest and Kinds are required.
type Options struct {
	Store *store.Store
	Guest *guest.Runtime
	// OwnCode says that no other store uses the compiled code that Guest keeps, so code that no run needs may be removed.
	OwnCode bool
	Kinds   []effect.Kind
	Space   store.Spacer // asked before new work is accepted; nil is unlimited
	Log     *slog.Logger
	Owner   string       // names this server in the leases
	Claim   store.Claims // claims what the engine owns at first; nil claims everything, also from other owners
	// Valid reports whether this server may act, as one of several on a database; nil is always. While it returns false, the
	// engine writes nothing and begins no attempt, and calls in flight go on.
	Valid func() bool
	// Await waits until Valid returns true again. It returns an error when ctx ends, or when that can never be, and the engine
	// then loses all shards. nil is never.
	Await func(ctx context.Context) error
	// Request returns the id of a request of a client, which is the same if the request is sent again because its answer was
	// lost; "" if that cannot be. The log keeps it. Nil is always "".
	Request func(ctx context.Context) string
	Cluster Cluster       // the servers on the database; nil if there are no others
	Peers   Peers         // the engines of the other servers; nil if there are none
	Live    int           // maximum number of guests in memory; 0 leaves it to Memory
	Rest    time.Duration // a waiting guest leaves memory after this time; 0 is 5 s
	// Patience is how long an entry waits for a turn to end, to share a write with it. After that the entry is written by
	// itself: a long computation must not lose a known outcome. 0 is 2 ms.
	Patience time.Duration
	TurnTime time.Duration    // a turn that takes longer fails its run; 0 is unlimited
	Now      func() time.Time // the wall clock; nil is time.Now
	Freezing Freezing
	Memory   int64        // maximum memory of the process in bytes; 0 is half of what it may use, a negative value is unlimited
	URL      string       // public URL of the server; part of the URL of a promise
	Ring     *ring.Ring   // remembers calls, for a database that loses writes; nil is none
	Late     *late.Outbox // offers outcomes to the next owners of runs, and outlives the engine; nil is none
	Vault    *vault.Vault // keeps secrets; nil keeps none
	Hide     []string     // what else is hidden, see redact.NewMask
	// RetryFor is how long failed calls are retried, unless a module, a host or the call sets another time; nil is
	// flawless.DefaultRetryFor.
	RetryFor *time.Duration

	// For rehearsals.
	Virtual *clock.Virtual          // the clock, in place of Now; nil is none
	Seed    func(run string) []byte // 32 bytes, all randomness of a run; nil asks the system
	Loaded  []*guest.Module         // modules that need no compiling; they are not closed

	resident     func() int64  // memory of the process in bytes; nil asks the system
	longTurn     time.Duration // a turn that takes longer is reported; 0 is 5 s
	initialising time.Duration // maximum for a module when it is added; 0 is 30 s
}

// Freezing says when images of guests are made.
type Freezing = live.Freezing

// Engine runs workflows. All methods may be called concurrently.
//
// None of its fields changes after Open. Each component has a lock of its own; the order of locks is described at
// [live.Registry].
type Engine struct {
	*examine.Examiner // replays runs for people
	store             *store.Store
	guest             *guest.Runtime
	kinds             map[string]*effect.Kind // by name
	log               *slog.Logger
	clockNow          func() time.Time
	lease             *store.Lease
	peers             *rpc.Endpoint // the engines of other servers
	oneOfMany         bool          // servers on one database: it goes on without any shard
	shared            bool          // other servers may change what belongs to no shard
	cluster           Cluster       // nil if there are no others
	request           func(ctx context.Context) string
	start             uint64 // highest epoch of its first shards: the number of the start of a server that claims all
	url               string // public URL of the server
	ownCode           bool
	vault             *vault.Vault // nil keeps no secrets
	mask              *redact.Mask
	virtual           *clock.Virtual
	seed              func(run string) []byte
	standing          int // number of goroutines of an idle engine

	ring    *ring.Ring      // nil is none
	history *history.Keeper // settles what the store has lost

	moves     moves                   // changes of which shards it owns
	refreshed refreshed               // what it has read of what any server may change
	life      *lifecycle.Lifecycle    // which work is still done
	tasks     task.Tasks              // all goroutines
	runs      *live.Registry          // the open runs in memory
	residency *residency.Residency    // which guests are in memory, and compute
	ends      *errand.Ends[*live.Run] // which calls wait for the end of which run
	locks     *statelock.Locks        // states that runs share
	graph     statelock.Graph         // which run waits for which
	deadlocks statelock.Detector      // finds cycles in it
	errands   *errand.Errands         // of runs whose targets other engines own
	states    *borrow.States          // states as its runs use them
	crossing  *statelock.Crossing     // finds cycles over several engines
	clock     *clock.Clock            // wakes runs
	schedules *schedule.Scheduler     // starts runs
	policy    *policy.Policy          // settings of operators
	caps      *admit.Caps             // which runs may begin
	limits    *ratelimit.Limits       // which attempts may begin
	sweeper   *retention.Sweeper      // removes ended runs
	scrubber  *scrub.Scrubber         // of a store with files of its own
	library   *library.Library        // modules
	seizer    *upgrade.Seizer         // seizes runs of all engines
	hub       *hub.Hub                // followers of runs
	followed  *follow.Runs            // the runs as their followers see them
	counts    *stats.Counts           // of runs, for people
}

// Open claims the shards of the store and continues those runs in them that have something to do. It returns before all of
// them have been read.
func Open(ctx context.Context, o Options) (*Engine, error) {
	e := &Engine{store: o.Store, guest: o.Guest, kinds: map[string]*effect.Kind{}, log: o.Log, clockNow: o.Now,
		url: strings.TrimSuffix(o.URL, "/"), ownCode: o.OwnCode, vault: o.Vault, virtual: o.Virtual, seed: o.Seed,
		cluster: o.Cluster, ring: o.Ring, request: o.Request}
	if e.request == nil {
		e.request = func(context.Context) string { return "" }
	}
	e.moves.leaving = map[store.Shard]bool{}
	var err error
	if e.peers, err = rpc.New(o.Peers); err != nil {
		return nil, err
	}
	if e.log == nil {
		e.log = slog.New(slog.DiscardHandler)
	}
	if e.virtual != nil {
		e.clockNow = e.virtual.Now
	}
	if e.clockNow == nil {
		e.clockNow = time.Now
	}
	for i := range o.Kinds {
		e.kinds[o.Kinds[i].Name] = &o.Kinds[i]
	}
	if err := e.claim(ctx, o); err != nil {
		return nil, err
	}
	if err := e.build(ctx, o); err != nil {
		return nil, err
	}
	e.lease.OnLost(e.shardLost)
	shards := e.lease.Owned()
	owned := shards
	if e.lease.Owns(store.ShardOfCaps) {
		owned = append(slices.Clone(shards), store.ShardOfCaps)
	}
	if err := e.history.Await(ctx, shards); err != nil {
		e.Kill()
		return nil, err
	}
	if err := e.load(ctx, owned); err != nil {
		e.Kill()
		return nil, err
	}
	if err := e.history.Hold(ctx); err != nil {
		e.Kill()
		return nil, fmt.Errorf("holding back the runs of a copied store: %w", err)
	}
	if err := e.history.Settle(ctx, shards); err != nil {
		e.Kill()
		return nil, err
	}
	e.history.Settled()
	standing := []func(){func() { e.limits.Serve(e.life.Turns) }, e.schedules.Serve, func() { e.sweeper.Serve(shards) }, e.clock.Serve, e.runs.KeepRows, e.counts.Keep}
	if o.Space != nil {
		standing = append(standing, e.watchSpace)
	}
	if o.Valid != nil {
		standing = append(standing, func() { e.watchLease(o.Valid) })
	}
	if e.store.CanCheck() {
		standing = append(standing, e.scrubber.Serve)
	}
	if e.hasPeers() {
		standing = append(standing, e.watchPeers)
	}
	if o.Late != nil {
		standing = append(standing, func() { o.Late.Serve(e.life.Turns, e.runs, e.peers, e.log) })
	}
	e.standing = len(standing)
	for _, run := range standing {
		e.tasks.Go(run)
	}
	e.tasks.Go(func() { e.recover(shards) })
	return e, nil
}

// claim takes over shards of the store, and fences their older owners.
func (e *Engine) claim(ctx context.Context, o Options) (err error) {
	claims := o.Claim
	if claims == nil {
		claims = store.ByForce(append(store.AllShards(), store.ShardOfCaps)...)
	}
	if e.lease = store.NewLease(o.Owner, nil); o.Valid != nil {
		e.lease, e.oneOfMany = store.NewLease(o.Owner, term{o.Valid, o.Await}), true
	}
	e.shared = o.Valid != nil || o.Peers != nil
	if e.ring != nil {
		e.store.ClaimAbove(e.ring.Epoch(0))
	}
	if _, err := claims(ctx, e.store, e.lease); err != nil {
		return fmt.Errorf("claiming the store: %w", err)
	}
	e.start = e.lease.LastEpoch()
	if e.ring != nil {
		e.ring.Epoch(e.start)
	}
	if e.vault != nil {
		if err := e.vault.Own(ctx, e.lease); err != nil {
			return fmt.Errorf("taking over the secrets: %w", err)
		}
	}
	key, err := e.store.MaskKey(ctx, e.lease)
	if err != nil {
		return err
	}
	e.mask, err = redact.NewMask(key, o.Hide...)
	return err
}

// dueLimit is how long a run that is woken by its timer counts as one of those that are woken at once.
const dueLimit = 10 * time.Millisecond

// build creates the components, each after those that it uses, and loads their data from the store.
func (e *Engine) build(ctx context.Context, o Options) (err error) {
	e.life = lifecycle.New(o.Space, e.log)
	e.library = library.New(library.Options{Store: e.store, Lease: e.lease, Shared: e.shared, Guest: e.guest, Context: e.life.Turns, Now: e.clockNow, Go: e.tasks.Go, Initialising: o.initialising})
	for _, m := range o.Loaded {
		e.library.Preload(m)
	}
	e.residency = residency.New(residency.Options{Live: o.Live, Memory: o.Memory, Idle: cmp.Or(o.Rest, 5*time.Second), Now: e.now, Stopped: e.life.Over,
		Trim: e.library.Trim, Collect: o.Space != nil, Resident: o.resident})
	e.scrubber = scrub.New(ctx, scrub.Options{Store: e.store, Lease: e.lease, Context: e.life.Turns, Dead: e.life.Over, Log: e.log})
	e.clock = clock.New(clock.Options{Timers: e.timers, Context: e.life.Turns, Now: e.clockNow, Wake: func(run string) { e.runs.WakeDue(run, dueLimit) }, Go: e.tasks.Go, Log: e.log, Virtual: e.virtual,
		Idle: func() bool { return e.tasks.Count() <= e.standing }})
	e.schedules = e.newScheduler()
	if e.policy, err = e.newPolicy(ctx, o); err != nil {
		return err
	}
	e.limits = e.newLimits()
	if err := e.limits.Load(ctx); err != nil {
		return fmt.Errorf("reading rate limits: %w", err)
	}
	e.sweeper = e.retention()
	e.caps = e.newCaps()
	e.locks, e.hub = e.newLocks(), hub.New()
	e.ends, e.errands = errand.NewEnds[*live.Run](&e.graph), errand.New(&e.graph)
	runs := live.Options{Handler: (*handler)(e), Store: e.store, Lease: e.lease, Kinds: e.kinds, Lifecycle: e.life, Tasks: &e.tasks, Now: e.now, Log: e.log, URL: e.url,
		Residency: e.residency, Admission: e.caps, Limits: e.limits, Policy: e.policy, Library: e.library, Clock: e.clock, Hub: e.hub, Locks: e.locks, Graph: &e.graph, Ring: e.ring,
		Patience: cmp.Or(o.Patience, 2*time.Millisecond), TurnTime: o.TurnTime, LongTurn: cmp.Or(o.longTurn, 5*time.Second), Freezing: o.Freezing}
	if o.Late != nil {
		runs.Late = o.Late
	}
	e.runs = live.New(runs)
	late.Handle(e.runs, e.peers)
	e.followed, e.states, e.seizer, e.history, e.counts = e.newFollowed(), e.newStates(), e.newSeizer(), e.newHistory(), e.newCounts()
	e.deadlocks.Graph, e.deadlocks.Look, e.deadlocks.Fail = &e.graph, e.restsHere, e.tellDeadlock
	for _, handle := range peerOps {
		handle(e)
	}
	e.crossing = e.newCrossing()
	e.Examiner = examine.New(examine.Options{Store: e.store, Library: e.library, Residency: e.residency, Guest: e.guest, Kinds: e.kinds})
	return nil
}

// Mask hides secrets in what the engine returns. Pass everything that is shown through [redact.Shown]; bundles already are.
func (e *Engine) Mask() *redact.Mask { return e.mask }

// timers yields the stored timers of the shards that the engine owns.
func (e *Engine) timers(ctx context.Context, from, until int64) iter.Seq2[store.Timer, error] {
	return e.store.Timers(ctx, from, until, e.lease.Owned())
}

// now is the wall clock in Unix nanoseconds.
func (e *Engine) now() int64 { return e.clockNow().UnixNano() }

// recover wakes every run in shards that was active when their last owner stopped.
func (e *Engine) recover(shards []store.Shard) {
	for {
		err := e.wakeActive(shards)
		if err == nil || e.life.Turns.Err() != nil {
			return
		}
		e.log.Error("reading active runs failed, will retry", "error", err)
		select {
		case <-e.life.Turns.Done():
			return
		case <-time.After(clock.Soon):
		}
	}
}

func (e *Engine) wakeActive(shards []store.Shard) error {
	ctx := e.life.Turns
	atOnce := semaphore.NewWeighted(64)
	n := 0
	for id, err := range e.store.Active(ctx, shards) {
		if err != nil {
			return err
		}
		if err := atOnce.Acquire(ctx, 1); err != nil {
			return err
		}
		n++
		e.tasks.Go(func() {
			defer atOnce.Release(1)
			e.runs.Wake(id)
		})
	}
	if err := atOnce.Acquire(ctx, 64); err != nil { // all have been read
		return err
	}
	e.lease.Settled(shards...)
	if n > 0 {
		e.log.Info("runs resumed", "count", n)
	}
	return nil
}

// Broken returns a channel that is closed when the engine gives up the store. The engine does nothing from then on: close
// it, and open another one.
func (e *Engine) Broken() <-chan struct{} { return e.life.Broken() }

// Gone returns why the engine gave up the store, as flawless.Stopping, or nil.
func (e *Engine) Gone() error { return e.life.Cause() }

// Close stops in order: it starts no more runs and turns, waits for calls in flight until ctx ends, and writes their answers.
// Calls still in flight then have an unknown outcome, which the next owner finds. Close leaves the store open.
func (e *Engine) Close(ctx context.Context) error {
	if !e.life.Stop() {
		return nil
	}
	e.clock.Stop()
	e.residency.Close()
	drained := make(chan struct{})
	go func() { e.tasks.Wait(); close(drained) }()
	var err error
	select {
	case <-drained:
	case <-ctx.Done():
		err = fmt.Errorf("%d tasks were still in flight when the drain ended; the next start determines their outcomes", e.tasks.Count())
		e.life.End()
		<-drained
	}
	e.life.End()
	e.hub.Close()
	e.runs.Close()
	e.library.Close()
	return err
}

// Kill stops at once and writes nothing more, as a crash does. It is for tests.
func (e *Engine) Kill() { e.end(e.life.Kill) }

// Leave is Kill for an engine whose shards are all lost: calls in flight that must not be repeated run on, and Options.Late
// gets their outcomes. The kinds of calls and what they use must live on for that.
func (e *Engine) Leave() { e.end(e.life.Leave) }

func (e *Engine) end(end func()) {
	end()
	e.clock.Stop()
	e.residency.Close()
	e.tasks.Wait()
	e.hub.Stop()
	e.runs.Close()
	e.library.Close()
}
