package engine

import (
	"container/heap"
	"context"
	"slices"
	"sync"

	"github.com/flawless-engine/flawless"
)

// gates lets runs begin, so many at once of a module and of a concurrency key. What it knows is a
// cache of the heads of open runs.
type gates struct {
	e *Engine

	mu      sync.Mutex
	all     map[string]*gate
	passed  map[string]*entrant // runs that hold a place
	waiting map[string]*entrant
}

// gate is what runs of one module, or of one key, pass.
type gate struct {
	held  int
	queue entrants // may have some that do not wait any more
}

// entrant is a run at the gates. It waits at one of them at a time.
type entrant struct {
	id      string
	module  string
	place   flawless.Place
	created int64
	holds   []string // gates it has passed
}

func (g *gates) init(e *Engine) {
	g.e, g.all, g.passed, g.waiting = e, map[string]*gate{}, map[string]*entrant{}, map[string]*entrant{}
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
			if err := g.track(ctx, s.Module); err != nil {
				return err
			}
		}
	}
	g.shiftAll()
	return nil
}

// track takes in the open runs of a module, which has a cap from now on.
func (g *gates) track(ctx context.Context, module string) error {
	f := flawless.Filter{Module: module, Status: openStatuses, Limit: 1000}
	for {
		runs, next, err := g.e.store.Runs(ctx, f)
		if err != nil {
			return err
		}
		for _, r := range runs {
			g.take(r)
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
	w := &entrant{id: r.ID, module: r.Module, created: r.Created.UnixNano()}
	if r.Place != nil {
		w.place = *r.Place
	}
	if known := g.passed[r.ID]; known != nil {
		w = known
	} else if g.waiting[r.ID] != nil {
		return
	}
	if r.Status == flawless.Pending && g.passed[r.ID] == nil {
		g.wait(w)
		return
	}
	g.passed[r.ID] = w
	for _, name := range w.gates() {
		g.hold(w, name)
	}
}

// gates are the names of the gates that a run has to pass.
func (w *entrant) gates() []string {
	names := []string{"module " + w.module}
	if w.place.Key != "" {
		names = append(names, "key "+w.place.Key)
	}
	return names
}

// room tells whether a gate lets the run pass.
func (g *gates) room(w *entrant, name string) bool {
	limit := w.place.Limit
	if name == "module "+w.module {
		limit = g.e.settings.of(w.module).Concurrency
	}
	return limit == 0 || g.gate(name).held < limit
}

func (g *gates) gate(name string) *gate {
	one := g.all[name]
	if one == nil {
		one = &gate{}
		g.all[name] = one
	}
	return one
}

func (g *gates) hold(w *entrant, name string) {
	for _, held := range w.holds {
		if held == name {
			return
		}
	}
	w.holds = append(w.holds, name)
	g.gate(name).held++
}

// wait lines a run up at the first gate of its own; shift moves it on.
func (g *gates) wait(w *entrant) {
	g.waiting[w.id] = w
	heap.Push(&g.gate(w.gates()[0]).queue, w)
}

// admits tells whether a run may take its first turn. Where it may not it is woken when it may.
func (g *gates) admits(s *state) bool {
	if s.turn > 0 || s.cancel != nil {
		return true
	}
	w := &entrant{id: s.id, module: s.start.Module, created: s.start.Time}
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
	for _, passed := range g.shift(w.gates()[0]) {
		if passed != s.id {
			g.e.tasks.Go(func() { g.e.touch(passed) })
		}
	}
	return g.passed[s.id] != nil
}

// shift lets those runs pass a gate for which there is room, in their order. A run for which another
// gate has no room goes on to wait there. It returns the runs that may begin.
func (g *gates) shift(name string) (begin []string) {
	one := g.gate(name)
	for one.queue.Len() > 0 {
		w := one.queue[0]
		if g.waiting[w.id] != w {
			heap.Pop(&one.queue)
			continue
		}
		if !g.room(w, name) {
			break
		}
		heap.Pop(&one.queue)
		if full := g.full(w); full != "" {
			heap.Push(&g.gate(full).queue, w)
			continue
		}
		delete(g.waiting, w.id)
		g.passed[w.id] = w
		for _, n := range w.gates() {
			g.hold(w, n)
		}
		begin = append(begin, w.id)
	}
	if one.held == 0 && one.queue.Len() == 0 {
		delete(g.all, name)
	}
	return begin
}

// full returns a gate that has no room for the run, "" where all have.
func (g *gates) full(w *entrant) string {
	for _, name := range w.gates() {
		if !g.room(w, name) {
			return name
		}
	}
	return ""
}

// leave takes a run away that has ended, and lets others begin in its place.
func (g *gates) leave(id string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.waiting, id)
	w := g.passed[id]
	if w == nil {
		return
	}
	delete(g.passed, id)
	for _, name := range w.holds {
		g.gate(name).held--
	}
	slices.Sort(w.holds) // keys before modules: who waits for a key goes on before younger ones pass
	for _, name := range w.holds {
		g.wake(g.shift(name))
	}
}

// shiftAll lets all runs begin for which there is room.
func (g *gates) shiftAll() {
	g.mu.Lock()
	defer g.mu.Unlock()
	names := make([]string, 0, len(g.all))
	for name := range g.all {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		g.wake(g.shift(name))
	}
}

func (g *gates) wake(ids []string) {
	for _, id := range ids {
		g.e.tasks.Go(func() { g.e.touch(id) })
	}
}

// entrants is a heap: the highest priority first, then the oldest.
type entrants []*entrant

func (q entrants) Len() int { return len(q) }
func (q entrants) Less(i, j int) bool {
	a, b := q[i], q[j]
	switch {
	case a.place.Priority != b.place.Priority:
		return a.place.Priority > b.place.Priority
	case a.created != b.created:
		return a.created < b.created
	}
	return a.id < b.id
}
func (q entrants) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *entrants) Push(x any)   { *q = append(*q, x.(*entrant)) }
func (q *entrants) Pop() any {
	old := *q
	last := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	return last
}
