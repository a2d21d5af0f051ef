package admit

import (
	"container/heap"
	"context"
	"errors"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
)

// Options configures a Control. Its functions are called while the Control is locked. They must not call it, and must
// not wait for anything that does.
type Options struct {
	Store Store
	// Cap returns the maximum number of admitted runs of a module; 0 is no limit.
	Cap func(module string) int
	// Modules returns the modules that have a cap.
	Modules func() []string
	// Wake is called when a waiting run has been admitted.
	Wake func(run string)
	// Owns reports whether the runs of this server include one. Those of others are not counted.
	Owns func(run string) bool
	// Parked is called when a run starts to wait for its concurrency key, because that key is full.
	Parked func(run string)
}

// Store reads the heads of runs.
type Store interface {
	Placed(ctx context.Context, shards []store.Shard) iter.Seq2[string, error]
	Head(ctx context.Context, id string) (store.Head, error)
	Runs(ctx context.Context, f flawless.Filter) ([]flawless.Run, string, error)
}

// Control admits runs up to the caps of modules and concurrency keys. All methods may be called concurrently.
type Control struct {
	o        Options
	mu       sync.Mutex // guards the fields below
	all      map[string]*pool
	admitted map[string]*entrant // admitted runs
	waiting  map[string]*entrant
	families map[string]*entrants // waiting runs by parent; may contain runs that no longer wait
}

// New returns an empty Control. Call Load before any run is driven.
func New(o Options) *Control {
	return &Control{o: o, all: map[string]*pool{}, admitted: map[string]*entrant{}, waiting: map[string]*entrant{}, families: map[string]*entrants{}}
}

// Run describes a run to admission.
type Run struct {
	ID, Parent, Module string
	Queue              flawless.QueueOptions
	Created            int64 // Unix nanoseconds
	Stored             bool  // its start is durable
}

// pool counts the runs admitted under the cap of one module or concurrency key. A waiting run is in the queue of its
// module, or parked at its key while the key is full. Both may contain runs that no longer wait.
type pool struct {
	held   int
	queue  entrants
	parked map[string]*entrants // for a key: by module
	under  map[string]int       // for a module: number of admitted children, by parent
}

// entrant is an admitted or waiting run.
type entrant struct {
	id      string
	parent  string
	module  string
	queue   flawless.QueueOptions
	created int64
	holds   []string // pools that it was admitted to
}

// Load adds all runs of some shards that have begun or wait to begin. It admits none: call Shift afterwards.
func (c *Control) Load(ctx context.Context, shards []store.Shard) error {
	for id, err := range c.o.Store.Placed(ctx, shards) {
		if err != nil {
			return err
		}
		h, err := c.o.Store.Head(ctx, id)
		if err != nil {
			return err
		}
		c.take(h.Run, always)
	}
	within := func(run string) bool { return slices.Contains(shards, store.ShardOf(run)) }
	for _, module := range c.o.Modules() {
		if err := c.track(ctx, module, within, false); err != nil {
			return err
		}
	}
	return nil
}

// Abandon removes runs that another server admits from now on.
func (c *Control) Abandon(gone func(run string) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var ids []string
	for _, all := range []map[string]*entrant{c.admitted, c.waiting} {
		for id := range all {
			if gone(id) {
				ids = append(ids, id)
			}
		}
	}
	slices.Sort(ids)
	for _, id := range ids {
		c.leave(id)
	}
}

// Track adds the open runs of a module that has just received a cap.
func (c *Control) Track(ctx context.Context, module string) error {
	return c.track(ctx, module, c.o.Owns, true)
}

func always(string) bool { return true }

// track adds those open runs of a module that are wanted. If runs are already being driven, one may have ended, and left, after it was
// read.
func (c *Control) track(ctx context.Context, module string, wanted func(run string) bool, driven bool) error {
	f := flawless.Filter{Module: module, Status: flawless.OpenStatuses, Limit: 1000}
	for {
		runs, next, err := c.o.Store.Runs(ctx, f)
		if err != nil {
			return err
		}
		for _, r := range runs {
			c.take(r, wanted)
			if !driven {
				continue
			}
			if err := c.LeaveEnded(ctx, r.ID); err != nil {
				return err
			}
		}
		if f.Cursor = next; next == "" {
			return nil
		}
	}
}

// take adds an open run from the store if it is wanted.
func (c *Control) take(r flawless.Run, wanted func(run string) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !wanted(r.ID) { // asked under the lock: Abandon removes what is added before it
		return
	}
	w := &entrant{id: r.ID, parent: r.Parent, module: r.Module, created: r.Created.UnixNano()}
	if r.Queue != nil {
		w.queue = *r.Queue
	}
	if known := c.admitted[r.ID]; known != nil {
		w = known
	} else if c.waiting[r.ID] != nil {
		return
	}
	if !begun(r) && c.admitted[r.ID] == nil {
		c.wait(w)
		return
	}
	c.admitted[r.ID] = w
	for _, name := range w.pools() {
		c.hold(w, name)
	}
}

// begun reports whether an open run has taken a turn.
func begun(r flawless.Run) bool {
	return r.Status != flawless.Pending && (r.Status != flawless.Paused || r.Turns > 0)
}

func modulePool(module string) string { return "module " + module }
func keyPool(key string) string       { return "key " + key }

// pools returns the names of the pools that must admit a run.
func (w *entrant) pools() []string {
	names := []string{modulePool(w.module)}
	if w.queue.Key != "" {
		names = append(names, keyPool(w.queue.Key))
	}
	return names
}

// before reports whether a run is admitted before another one, if both may begin.
func (w *entrant) before(o *entrant) bool {
	switch {
	case w.queue.Priority != o.queue.Priority:
		return w.queue.Priority > o.queue.Priority
	case w.created != o.created:
		return w.created < o.created
	}
	return w.id < o.id
}

// moduleFull reports whether the cap of its module prevents a run from beginning.
func (c *Control) moduleFull(w *entrant) bool {
	limit := c.o.Cap(w.module)
	return limit > 0 && c.pool(modulePool(w.module)).held >= limit && !c.inherits(w)
}

// inherits reports whether a run can take over the admission of its parent.
func (c *Control) inherits(w *entrant) bool {
	name := modulePool(w.module)
	return w.parent != "" && c.holds(w.parent, name) && c.pool(name).under[w.parent] == 0
}

// holds reports whether a pool has admitted a run.
func (c *Control) holds(id, name string) bool {
	w := c.admitted[id]
	return w != nil && slices.Contains(w.holds, name)
}

func (c *Control) keyFull(w *entrant) bool {
	return w.queue.Key != "" && w.queue.Limit > 0 && c.pool(keyPool(w.queue.Key)).held >= w.queue.Limit
}

func (c *Control) pool(name string) *pool {
	one := c.all[name]
	if one == nil {
		one = &pool{parked: map[string]*entrants{}, under: map[string]int{}}
		c.all[name] = one
	}
	return one
}

func (c *Control) hold(w *entrant, name string) {
	if slices.Contains(w.holds, name) {
		return
	}
	w.holds = append(w.holds, name)
	one := c.pool(name)
	if one.under[w.id] == 0 {
		one.held++
	}
	if w.parent == "" || name != modulePool(w.module) {
		return
	}
	if one.under[w.parent]++; one.under[w.parent] == 1 && c.holds(w.parent, name) {
		one.held--
	}
}

// drop reverses hold, for a run that is no longer admitted.
func (c *Control) drop(w *entrant, name string) {
	one := c.pool(name)
	if one.under[w.id] == 0 {
		one.held--
	}
	if w.parent == "" || name != modulePool(w.module) {
		return
	}
	if one.under[w.parent]--; one.under[w.parent] > 0 {
		return
	}
	delete(one.under, w.parent)
	if c.holds(w.parent, name) {
		one.held++
	}
}

// wait queues a run. shift and inherit admit it later.
func (c *Control) wait(w *entrant) {
	c.waiting[w.id] = w
	heap.Push(&c.pool(modulePool(w.module)).queue, w)
	if w.parent == "" {
		return
	}
	if c.families[w.parent] == nil {
		c.families[w.parent] = &entrants{}
	}
	heap.Push(c.families[w.parent], w)
}

// inherit admits a child of a run in place of its parent, ahead of all other waiting runs, and returns its id.
func (c *Control) inherit(parent string) (begin []string) {
	line := c.families[parent]
	if line == nil {
		return nil
	}
	for line.Len() > 0 {
		w := (*line)[0]
		if !c.gone(w) {
			if !c.inherits(w) || c.keyFull(w) {
				return nil
			}
			c.admit(w)
			begin = append(begin, w.id)
		}
		heap.Pop(line)
	}
	delete(c.families, parent)
	return begin
}

func (c *Control) admit(w *entrant) {
	delete(c.waiting, w.id)
	c.admitted[w.id] = w
	for _, name := range w.pools() {
		c.hold(w, name)
	}
}

// Admits reports whether a run that has not begun may take its first turn. If not, Wake is called when it may.
func (c *Control) Admits(r Run) bool {
	w := &entrant{id: r.ID, parent: r.Parent, module: r.Module, queue: r.Queue, created: r.Created}
	if w.queue.Key == "" && c.o.Cap(w.module) == 0 {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.admitted[w.id] != nil:
		return true
	case c.waiting[w.id] != nil:
		return false
	}
	c.wait(w)
	for _, admitted := range append(c.inherit(w.parent), c.shift(w.module)...) {
		if admitted != w.id {
			c.o.Wake(admitted)
		}
	}
	return c.admitted[w.id] != nil
}

// shift admits as many waiting runs of the modules as their caps allow, in their common order, and returns their ids. A run
// whose key is full is parked there and does not hold up other runs.
func (c *Control) shift(modules ...string) (begin []string) {
	for {
		var next *pool
		for _, module := range modules {
			one := c.pool(modulePool(module))
			for one.queue.Len() > 0 && c.gone(one.queue[0]) {
				heap.Pop(&one.queue)
			}
			if one.queue.Len() > 0 && !c.moduleFull(one.queue[0]) && (next == nil || one.queue[0].before(next.queue[0])) {
				next = one
			}
		}
		if next == nil {
			break
		}
		w := heap.Pop(&next.queue).(*entrant)
		if c.keyFull(w) {
			c.park(w)
			continue
		}
		c.admit(w)
		begin = append(begin, w.id)
	}
	for _, module := range modules {
		c.forget(modulePool(module))
	}
	return begin
}

// gone reports whether a run no longer waits.
func (c *Control) gone(w *entrant) bool { return c.waiting[w.id] != w }

// Blockers returns the runs that prevent a run from beginning: they use up the cap of by, its module or its concurrency
// key. Blockers returns nil if the run does not wait.
func (c *Control) Blockers(id string) (runs []string, by string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := c.waiting[id]
	if w == nil {
		return nil, ""
	}
	by = "module " + w.module
	name := modulePool(w.module)
	switch {
	case c.moduleFull(w):
	case c.keyFull(w):
		by, name = "key "+w.queue.Key, keyPool(w.queue.Key)
	default:
		return nil, ""
	}
	for other := range c.admitted {
		if c.holds(other, name) && c.pool(name).under[other] == 0 { // otherwise its child was admitted in its place
			runs = append(runs, other)
		}
	}
	slices.Sort(runs)
	return runs, by
}

func (c *Control) park(w *entrant) {
	c.o.Parked(w.id)
	one := c.pool(keyPool(w.queue.Key))
	if one.parked[w.module] == nil {
		one.parked[w.module] = &entrants{}
	}
	heap.Push(one.parked[w.module], w)
}

// unpark moves as many runs of each module as their key admits to the queues of their modules. It returns the modules.
func (c *Control) unpark(key string) (modules []string) {
	one := c.pool(keyPool(key))
	for module, line := range one.parked {
		for n := 0; line.Len() > 0; {
			w := (*line)[0]
			if !c.gone(w) {
				if one.held+n >= w.queue.Limit {
					break
				}
				n++
				heap.Push(&c.pool(modulePool(module)).queue, w)
			}
			heap.Pop(line)
		}
		if line.Len() == 0 {
			delete(one.parked, module)
		}
		modules = append(modules, module)
	}
	c.forget(keyPool(key))
	return modules
}

// forget removes an unused pool.
func (c *Control) forget(name string) {
	if one := c.all[name]; one != nil && one.held == 0 && one.queue.Len() == 0 && len(one.parked) == 0 && len(one.under) == 0 {
		delete(c.all, name)
	}
}

// Leave removes an ended run and admits others in its place.
func (c *Control) Leave(r Run) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leave(r.ID)
}

// leave is Leave. The caller holds mu.
func (c *Control) leave(id string) {
	w := c.admitted[id]
	if w == nil {
		w = c.waiting[id]
	}
	if w == nil {
		return
	}
	delete(c.waiting, id)
	delete(c.admitted, id)
	for _, name := range w.holds {
		c.drop(w, name)
	}
	c.wake(c.inherit(w.parent))
	modules := []string{w.module}
	if w.queue.Key != "" { // even if it only waited, because it may have been unparked instead of another run
		modules = append(modules, c.unpark(w.queue.Key)...)
	}
	slices.Sort(modules)
	c.wake(c.shift(slices.Compact(modules)...))
}

// LeaveEnded removes a run that has ended according to the store.
func (c *Control) LeaveEnded(ctx context.Context, id string) error {
	h, err := c.o.Store.Head(ctx, id)
	if errors.Is(err, flawless.NotFound) || err == nil && h.Run.Status.Ended() {
		c.Leave(Run{ID: id})
		return nil
	}
	return err
}

// Shift admits all runs that the caps allow. Call it after a cap has changed.
func (c *Control) Shift() {
	c.mu.Lock()
	defer c.mu.Unlock()
	var modules []string
	for name := range c.all {
		if module, is := strings.CutPrefix(name, modulePool("")); is {
			modules = append(modules, module)
		}
	}
	for _, parent := range slices.Sorted(maps.Keys(c.families)) {
		c.wake(c.inherit(parent))
	}
	c.wake(c.shift(modules...))
}

func (c *Control) wake(ids []string) {
	for _, id := range ids {
		c.o.Wake(id)
	}
}

// entrants is a heap: the next run to begin is first.
type entrants []*entrant

func (q entrants) Len() int           { return len(q) }
func (q entrants) Less(i, j int) bool { return q[i].before(q[j]) }
func (q entrants) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *entrants) Push(x any)        { *q = append(*q, x.(*entrant)) }
func (q *entrants) Pop() any {
	old := *q
	last := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	return last
}

// Count returns the number of admitted and waiting runs.
func (c *Control) Count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.admitted) + len(c.waiting)
}

// Empty reports whether nothing is left of any run. Tests use it to find leaks.
func (c *Control) Empty() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.all)+len(c.admitted)+len(c.waiting)+len(c.families) == 0
}
