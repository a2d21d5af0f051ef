package engine

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/flawless-engine/flawless"
)

// gates lets runs begin, so many at once of a module and of a concurrency key. What it knows is a
// cache of the heads of open runs.
//
// A run has no place of its module while a child of it in the same module has begun: the child has it.
// So parents that wait cannot use up a cap that their children need.
type gates struct {
	e *Engine

	mu       sync.Mutex
	all      map[string]*gate
	passed   map[string]*entrant // runs that have begun
	waiting  map[string]*entrant
	families map[string]*entrants // by parent, those that wait; may have some that do not any more
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

func (g *gates) init(e *Engine) {
	g.e, g.all, g.passed, g.waiting = e, map[string]*gate{}, map[string]*entrant{}, map[string]*entrant{}
	g.families = map[string]*entrants{}
}

// load takes in all runs that have begun or wait to. It is called before any run is driven.
func (g *gates) load(ctx context.Context) error {
	for id, err := range g.e.store.Placed(ctx) {
		if err != nil {
			return err
		}
		h, err := g.e.store.Head(ctx, id)
		if err != nil {
			return err
		}
		g.take(h.Run)
	}
	for _, s := range g.e.settings.list() {
		if s.Concurrency > 0 {
			if err := g.track(ctx, s.Module, false); err != nil {
				return err
			}
		}
	}
	g.shiftAll()
	return nil
}

// track takes in the open runs of a module, which has a cap from now on. Where runs are driven already,
// one may have ended, and left, after it was read.
func (g *gates) track(ctx context.Context, module string, driven bool) error {
	f := flawless.Filter{Module: module, Status: openStatuses, Limit: 1000}
	for {
		runs, next, err := g.e.store.Runs(ctx, f)
		if err != nil {
			return err
		}
		for _, r := range runs {
			g.take(r)
			if !driven {
				continue
			}
			if err := g.leaveEnded(ctx, r.ID); err != nil {
				return err
			}
		}
		if f.Cursor = next; next == "" {
			return nil
		}
	}
}

// take takes in an open run as the store knows it.
func (g *gates) take(r flawless.Run) {
	g.mu.Lock()
	defer g.mu.Unlock()
	w := &entrant{id: r.ID, parent: r.Parent, module: r.Module, created: r.Created.UnixNano()}
	if r.Place != nil {
		w.place = *r.Place
	}
	if known := g.passed[r.ID]; known != nil {
		w = known
	} else if g.waiting[r.ID] != nil {
		return
	}
	if begun := r.Status != flawless.Pending && (r.Status != flawless.Paused || r.Turns > 0); !begun && g.passed[r.ID] == nil {
		g.wait(w)
		return
	}
	g.passed[r.ID] = w
	for _, name := range w.gates() {
		g.hold(w, name)
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
func (g *gates) moduleFull(w *entrant) bool {
	limit := g.e.settings.of(w.module).Concurrency
	return limit > 0 && g.gate(moduleGate(w.module)).held >= limit && !g.inherits(w)
}

// inherits tells whether a run can have the place of its parent.
func (g *gates) inherits(w *entrant) bool {
	name := moduleGate(w.module)
	return w.parent != "" && g.holds(w.parent, name) && g.gate(name).under[w.parent] == 0
}

// holds tells whether a run has passed a gate.
func (g *gates) holds(id, name string) bool {
	w := g.passed[id]
	return w != nil && slices.Contains(w.holds, name)
}

func (g *gates) keyFull(w *entrant) bool {
	return w.place.Key != "" && w.place.Limit > 0 && g.gate(keyGate(w.place.Key)).held >= w.place.Limit
}

func (g *gates) gate(name string) *gate {
	one := g.all[name]
	if one == nil {
		one = &gate{parked: map[string]*entrants{}, under: map[string]int{}}
		g.all[name] = one
	}
	return one
}

func (g *gates) hold(w *entrant, name string) {
	if slices.Contains(w.holds, name) {
		return
	}
	w.holds = append(w.holds, name)
	one := g.gate(name)
	if one.under[w.id] == 0 {
		one.held++
	}
	if w.parent == "" || name != moduleGate(w.module) {
		return
	}
	if one.under[w.parent]++; one.under[w.parent] == 1 && g.holds(w.parent, name) {
		one.held--
	}
}

// drop is the opposite of hold, for a run that is not among the passed any more.
func (g *gates) drop(w *entrant, name string) {
	one := g.gate(name)
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
	if g.holds(w.parent, name) {
		one.held++
	}
}

// wait lines a run up; shift and inherit move it on.
func (g *gates) wait(w *entrant) {
	g.waiting[w.id] = w
	heap.Push(&g.gate(moduleGate(w.module)).queue, w)
	if w.parent == "" {
		return
	}
	if g.families[w.parent] == nil {
		g.families[w.parent] = &entrants{}
	}
	heap.Push(g.families[w.parent], w)
}

// inherit lets a child of a run begin in its place, whoever waits before it. It returns its id.
func (g *gates) inherit(parent string) (begin []string) {
	line := g.families[parent]
	if line == nil {
		return nil
	}
	for line.Len() > 0 {
		w := (*line)[0]
		if !g.gone(w) {
			if !g.inherits(w) || g.keyFull(w) {
				return nil
			}
			g.pass(w)
			begin = append(begin, w.id)
		}
		heap.Pop(line)
	}
	delete(g.families, parent)
	return begin
}

func (g *gates) pass(w *entrant) {
	delete(g.waiting, w.id)
	g.passed[w.id] = w
	for _, name := range w.gates() {
		g.hold(w, name)
	}
}

// admits tells whether a run may take its first turn. Where it may not it is woken when it may.
func (g *gates) admits(s *state) bool {
	if s.begun() || s.cancel != nil {
		return true
	}
	w := &entrant{id: s.id, parent: s.start.Parent, module: s.start.Module, created: s.start.Time}
	if s.start.Place != nil {
		w.place = *s.start.Place
	}
	capped := g.e.settings.of(w.module).Concurrency > 0
	if w.place.Key == "" && !capped {
		return true
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.passed[s.id] != nil:
		return true
	case g.waiting[s.id] != nil:
		return false
	}
	g.wait(w)
	for _, passed := range append(g.inherit(w.parent), g.shift(w.module)...) {
		if passed != s.id {
			g.e.tasks.Go(func() { g.e.touch(passed) })
		}
	}
	return g.passed[s.id] != nil
}

// shift lets those runs of modules begin for which there is room, in the order of all of them. It
// returns their ids. Who is kept back by its key is parked there and holds up nobody.
func (g *gates) shift(modules ...string) (begin []string) {
	for {
		var next *gate
		for _, module := range modules {
			one := g.gate(moduleGate(module))
			for one.queue.Len() > 0 && g.gone(one.queue[0]) {
				heap.Pop(&one.queue)
			}
			if one.queue.Len() > 0 && !g.moduleFull(one.queue[0]) && (next == nil || one.queue[0].before(next.queue[0])) {
				next = one
			}
		}
		if next == nil {
			break
		}
		w := heap.Pop(&next.queue).(*entrant)
		if g.keyFull(w) {
			g.park(w)
			continue
		}
		g.pass(w)
		begin = append(begin, w.id)
	}
	for _, module := range modules {
		g.forget(moduleGate(module))
	}
	return begin
}

// gone tells whether a run does not wait any more.
func (g *gates) gone(w *entrant) bool { return g.waiting[w.id] != w }

// ahead returns the runs that keep a run from beginning: each of them has a place that it could have. It
// is nil where the run does not wait.
func (g *gates) ahead(id string) (out []edge) {
	g.mu.Lock()
	defer g.mu.Unlock()
	w := g.waiting[id]
	if w == nil {
		return nil
	}
	x := edge{from: id, gate: fmt.Sprintf("a place of module %s", w.module)}
	name := moduleGate(w.module)
	switch {
	case g.moduleFull(w):
	case g.keyFull(w):
		x.gate, name = fmt.Sprintf("a place of key %s", w.place.Key), keyGate(w.place.Key)
	default:
		return nil
	}
	for x.to = range g.passed {
		if g.holds(x.to, name) && g.gate(name).under[x.to] == 0 { // else its child has the place
			out = append(out, x)
		}
	}
	slices.SortFunc(out, func(a, b edge) int { return strings.Compare(a.to, b.to) })
	return out
}

func (g *gates) park(w *entrant) {
	if g.e.graph.isAwaited(w.id) { // others keep it back from now on, who may wait for it
		g.e.tasks.Go(func() { g.e.breakDeadlock(w.id) })
	}
	one := g.gate(keyGate(w.place.Key))
	if one.parked[w.module] == nil {
		one.parked[w.module] = &entrants{}
	}
	heap.Push(one.parked[w.module], w)
}

// unpark lines up as many of each module as a key has room for, and returns the modules.
func (g *gates) unpark(key string) (modules []string) {
	one := g.gate(keyGate(key))
	for module, line := range one.parked {
		for n := 0; line.Len() > 0; {
			w := (*line)[0]
			if !g.gone(w) {
				if one.held+n >= w.place.Limit {
					break
				}
				n++
				heap.Push(&g.gate(moduleGate(module)).queue, w)
			}
			heap.Pop(line)
		}
		if line.Len() == 0 {
			delete(one.parked, module)
		}
		modules = append(modules, module)
	}
	g.forget(keyGate(key))
	return modules
}

// forget drops a gate that nobody has passed or waits at.
func (g *gates) forget(name string) {
	if one := g.all[name]; one != nil && one.held == 0 && one.queue.Len() == 0 && len(one.parked) == 0 && len(one.under) == 0 {
		delete(g.all, name)
	}
}

// leave takes a run away that has ended, and lets others begin in its place.
func (g *gates) leave(id string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	w := g.passed[id]
	if w == nil {
		w = g.waiting[id]
	}
	if w == nil {
		return
	}
	delete(g.waiting, id)
	delete(g.passed, id)
	for _, name := range w.holds {
		g.drop(w, name)
	}
	g.wake(g.inherit(w.parent))
	modules := []string{w.module}
	if w.place.Key != "" { // also where it only waited: it may have been lined up in the place of others
		modules = append(modules, g.unpark(w.place.Key)...)
	}
	slices.Sort(modules)
	g.wake(g.shift(slices.Compact(modules)...))
}

// leaveEnded takes a run away if it has ended by what is stored.
func (g *gates) leaveEnded(ctx context.Context, id string) error {
	h, err := g.e.store.Head(ctx, id)
	if errors.Is(err, flawless.NotFound) || err == nil && h.Run.Status.Ended() {
		g.leave(id)
		return nil
	}
	return err
}

// shiftAll lets all runs begin for which there is room.
func (g *gates) shiftAll() {
	g.mu.Lock()
	defer g.mu.Unlock()
	var modules []string
	for name := range g.all {
		if module, is := strings.CutPrefix(name, moduleGate("")); is {
			modules = append(modules, module)
		}
	}
	for _, parent := range slices.Sorted(maps.Keys(g.families)) {
		g.wake(g.inherit(parent))
	}
	g.wake(g.shift(modules...))
}

func (g *gates) wake(ids []string) {
	for _, id := range ids {
		g.e.tasks.Go(func() { g.e.touch(id) })
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
