package admit

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
)

// Options says what admission works with. All functions are called while Control is locked, so they must not call it and
// must not wait for anything that does.
type Options struct {
	Store Store
	// Cap returns how many runs of a module are admitted at once, 0 is without limit.
	Cap func(module string) int
	// Modules returns the modules that have a cap.
	Modules func() []string
	// Wake is called for a run that waited and is admitted now.
	Wake func(run string)
	// Parked is called for a run that waits for its key from now on, so that other runs keep it back.
	Parked func(run string)
}

// Store is what admission reads: the heads of runs.
type Store interface {
	Placed(ctx context.Context) iter.Seq2[string, error]
	Head(ctx context.Context, id string) (store.Head, error)
	Runs(ctx context.Context, f flawless.Filter) ([]flawless.Run, string, error)
}

// Control admits runs: so many at once of a module, and of a concurrency key. All methods may be called concurrently.
type Control struct {
	o        Options
	mu       sync.Mutex // guards all that follows
	all      map[string]*gate
	passed   map[string]*entrant // runs that have begun
	waiting  map[string]*entrant
	families map[string]*entrants // by parent, those that wait; may have some that do not any more
}

// New returns a Control that knows no run. Call Load before any run is driven.
func New(o Options) *Control {
	return &Control{o: o, all: map[string]*gate{}, passed: map[string]*entrant{}, waiting: map[string]*entrant{}, families: map[string]*entrants{}}
}

// Run is a run as admission knows it.
type Run struct {
	ID, Parent, Module string
	Place              flawless.Place
	Created            int64 // Unix nanoseconds
}

// gate is what runs of one module, or of one key, pass. Who waits is in the queue of its module, or
// parked at its key while that has no room; in both may be some that do not wait any more.
type gate struct {
	held   int
	queue  entrants
	parked map[string]*entrants // of a key: by module
	under  map[string]int       // of a module: by parent, children that have begun
}

// entrant is a run at the gates.
type entrant struct {
	id      string
	parent  string
	module  string
	place   flawless.Place
	created int64
	holds   []string // gates it has passed
}

// Load takes in all runs that have begun or wait to.
func (c *Control) Load(ctx context.Context) error {
	for id, err := range c.o.Store.Placed(ctx) {
		if err != nil {
			return err
		}
		h, err := c.o.Store.Head(ctx, id)
		if err != nil {
			return err
		}
		c.take(h.Run)
	}
	for _, module := range c.o.Modules() {
		if err := c.track(ctx, module, false); err != nil {
			return err
		}
	}
	c.Shift()
	return nil
}

// Track takes in the open runs of a module, which has a cap from now on.
func (c *Control) Track(ctx context.Context, module string) error { return c.track(ctx, module, true) }

// track takes in the open runs of a module. Where runs are driven already, one may have ended, and left, after it
// was read.
func (c *Control) track(ctx context.Context, module string, driven bool) error {
	f := flawless.Filter{Module: module, Status: flawless.OpenStatuses, Limit: 1000}
	for {
		runs, next, err := c.o.Store.Runs(ctx, f)
		if err != nil {
			return err
		}
		for _, r := range runs {
			c.take(r)
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

// take takes in an open run as the store knows it.
func (c *Control) take(r flawless.Run) {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := &entrant{id: r.ID, parent: r.Parent, module: r.Module, created: r.Created.UnixNano()}
	if r.Place != nil {
		w.place = *r.Place
	}
	if known := c.passed[r.ID]; known != nil {
		w = known
	} else if c.waiting[r.ID] != nil {
		return
	}
	if begun := r.Status != flawless.Pending && (r.Status != flawless.Paused || r.Turns > 0); !begun && c.passed[r.ID] == nil {
		c.wait(w)
		return
	}
	c.passed[r.ID] = w
	for _, name := range w.gates() {
		c.hold(w, name)
	}
}

func moduleGate(module string) string { return "module " + module }
func keyGate(key string) string       { return "key " + key }

// gates are the names of the gates that a run has to pass.
func (w *entrant) gates() []string {
	names := []string{moduleGate(w.module)}
	if w.place.Key != "" {
		names = append(names, keyGate(w.place.Key))
	}
	return names
}

// before tells whether a run begins before another where both may.
func (w *entrant) before(o *entrant) bool {
	switch {
	case w.place.Priority != o.place.Priority:
		return w.place.Priority > o.place.Priority
	case w.created != o.created:
		return w.created < o.created
	}
	return w.id < o.id
}

// moduleFull and keyFull tell whether a run is kept from beginning by its module, and by its key.
func (c *Control) moduleFull(w *entrant) bool {
	limit := c.o.Cap(w.module)
	return limit > 0 && c.gate(moduleGate(w.module)).held >= limit && !c.inherits(w)
}

// inherits tells whether a run can have the place of its parent.
func (c *Control) inherits(w *entrant) bool {
	name := moduleGate(w.module)
	return w.parent != "" && c.holds(w.parent, name) && c.gate(name).under[w.parent] == 0
}

// holds tells whether a run has passed a gate.
func (c *Control) holds(id, name string) bool {
	w := c.passed[id]
	return w != nil && slices.Contains(w.holds, name)
}

func (c *Control) keyFull(w *entrant) bool {
	return w.place.Key != "" && w.place.Limit > 0 && c.gate(keyGate(w.place.Key)).held >= w.place.Limit
}

func (c *Control) gate(name string) *gate {
	one := c.all[name]
	if one == nil {
		one = &gate{parked: map[string]*entrants{}, under: map[string]int{}}
		c.all[name] = one
	}
	return one
}

func (c *Control) hold(w *entrant, name string) {
	if slices.Contains(w.holds, name) {
		return
	}
	w.holds = append(w.holds, name)
	one := c.gate(name)
	if one.under[w.id] == 0 {
		one.held++
	}
	if w.parent == "" || name != moduleGate(w.module) {
		return
	}
	if one.under[w.parent]++; one.under[w.parent] == 1 && c.holds(w.parent, name) {
		one.held--
	}
}

// drop is the opposite of hold, for a run that is not among the passed any more.
func (c *Control) drop(w *entrant, name string) {
	one := c.gate(name)
	if one.under[w.id] == 0 {
		one.held--
	}
	if w.parent == "" || name != moduleGate(w.module) {
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

// wait lines a run up; shift and inherit move it on.
func (c *Control) wait(w *entrant) {
	c.waiting[w.id] = w
	heap.Push(&c.gate(moduleGate(w.module)).queue, w)
	if w.parent == "" {
		return
	}
	if c.families[w.parent] == nil {
		c.families[w.parent] = &entrants{}
	}
	heap.Push(c.families[w.parent], w)
}

// inherit lets a child of a run begin in its place, whoever waits before it. It returns its id.
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
			c.pass(w)
			begin = append(begin, w.id)
		}
		heap.Pop(line)
	}
	delete(c.families, parent)
	return begin
}

func (c *Control) pass(w *entrant) {
	delete(c.waiting, w.id)
	c.passed[w.id] = w
	for _, name := range w.gates() {
		c.hold(w, name)
	}
}

// Admits tells whether a run that has not begun may take its first turn. Where it may not it is woken when it may.
func (c *Control) Admits(r Run) bool {
	w := &entrant{id: r.ID, parent: r.Parent, module: r.Module, place: r.Place, created: r.Created}
	if w.place.Key == "" && c.o.Cap(w.module) == 0 {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.passed[w.id] != nil:
		return true
	case c.waiting[w.id] != nil:
		return false
	}
	c.wait(w)
	for _, passed := range append(c.inherit(w.parent), c.shift(w.module)...) {
		if passed != w.id {
			c.o.Wake(passed)
		}
	}
	return c.passed[w.id] != nil
}

// shift lets those runs of modules begin for which there is room, in the order of all of them. It
// returns their ids. Who is kept back by its key is parked there and holds up nobody.
func (c *Control) shift(modules ...string) (begin []string) {
	for {
		var next *gate
		for _, module := range modules {
			one := c.gate(moduleGate(module))
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
		c.pass(w)
		begin = append(begin, w.id)
	}
	for _, module := range modules {
		c.forget(moduleGate(module))
	}
	return begin
}

// gone tells whether a run does not wait any more.
func (c *Control) gone(w *entrant) bool { return c.waiting[w.id] != w }

// Ahead returns the runs that keep a run from beginning: each of them has a permit that it could have, and what
// says in words what for. It is nil where the run does not wait.
func (c *Control) Ahead(id string) (runs []string, what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := c.waiting[id]
	if w == nil {
		return nil, ""
	}
	what = fmt.Sprintf("a place of module %s", w.module)
	name := moduleGate(w.module)
	switch {
	case c.moduleFull(w):
	case c.keyFull(w):
		what, name = fmt.Sprintf("a place of key %s", w.place.Key), keyGate(w.place.Key)
	default:
		return nil, ""
	}
	for other := range c.passed {
		if c.holds(other, name) && c.gate(name).under[other] == 0 { // else its child has the permit
			runs = append(runs, other)
		}
	}
	slices.Sort(runs)
	return runs, what
}

func (c *Control) park(w *entrant) {
	c.o.Parked(w.id)
	one := c.gate(keyGate(w.place.Key))
	if one.parked[w.module] == nil {
		one.parked[w.module] = &entrants{}
	}
	heap.Push(one.parked[w.module], w)
}

// unpark lines up as many of each module as a key has room for, and returns the modules.
func (c *Control) unpark(key string) (modules []string) {
	one := c.gate(keyGate(key))
	for module, line := range one.parked {
		for n := 0; line.Len() > 0; {
			w := (*line)[0]
			if !c.gone(w) {
				if one.held+n >= w.place.Limit {
					break
				}
				n++
				heap.Push(&c.gate(moduleGate(module)).queue, w)
			}
			heap.Pop(line)
		}
		if line.Len() == 0 {
			delete(one.parked, module)
		}
		modules = append(modules, module)
	}
	c.forget(keyGate(key))
	return modules
}

// forget drops a gate that nobody has passed or waits at.
func (c *Control) forget(name string) {
	if one := c.all[name]; one != nil && one.held == 0 && one.queue.Len() == 0 && len(one.parked) == 0 && len(one.under) == 0 {
		delete(c.all, name)
	}
}

// Leave takes a run away that has ended, and lets others begin in its place.
func (c *Control) Leave(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := c.passed[id]
	if w == nil {
		w = c.waiting[id]
	}
	if w == nil {
		return
	}
	delete(c.waiting, id)
	delete(c.passed, id)
	for _, name := range w.holds {
		c.drop(w, name)
	}
	c.wake(c.inherit(w.parent))
	modules := []string{w.module}
	if w.place.Key != "" { // also where it only waited: it may have been lined up in the place of others
		modules = append(modules, c.unpark(w.place.Key)...)
	}
	slices.Sort(modules)
	c.wake(c.shift(slices.Compact(modules)...))
}

// LeaveEnded takes a run away if it has ended by what is stored.
func (c *Control) LeaveEnded(ctx context.Context, id string) error {
	h, err := c.o.Store.Head(ctx, id)
	if errors.Is(err, flawless.NotFound) || err == nil && h.Run.Status.Ended() {
		c.Leave(id)
		return nil
	}
	return err
}

// Shift lets all runs begin for which there is room. Call it when a cap has changed.
func (c *Control) Shift() {
	c.mu.Lock()
	defer c.mu.Unlock()
	var modules []string
	for name := range c.all {
		if module, is := strings.CutPrefix(name, moduleGate("")); is {
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

// entrants is a heap: who begins first is first.
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

// Count returns how many runs have a permit or wait for one.
func (c *Control) Count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.passed) + len(c.waiting)
}

// Empty tells whether nothing is left of any run: Control keeps no memory of those that have left.
func (c *Control) Empty() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.all)+len(c.passed)+len(c.waiting)+len(c.families) == 0
}
