package live

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/task"
)

// The row of a run, which lists show, is written together with the entries that change what matters about the run: its
// status, its timer, what it waits for. Counts change with each turn, and a call that is in flight is usually answered soon,
// so these do not make a write larger. A row that lacks them is stale, and is written again with the next entries after
// rowAge, or alone if there are none.

const (
	rowAge    = time.Second
	sweepRows = time.Second // how often stale rows of runs that do nothing are looked for
	maxSwept  = 1000        // rows that one sweep writes; the others wait for the next
	sweepers  = 64          // that write at once, and so share the work of the database
)

// stale is the set of runs in memory whose row is stale.
type stale struct {
	mu   sync.Mutex
	runs map[string]struct{}
	more chan struct{} // has an item when there may be some
}

func (s *stale) add(ids ...string) {
	s.mu.Lock()
	for _, id := range ids {
		s.runs[id] = struct{}{}
	}
	s.mu.Unlock()
	if len(ids) > 0 {
		task.Poke(s.more)
	}
}

func (s *stale) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := slices.Collect(maps.Keys(s.runs))
	clear(s.runs)
	return all
}

// KeepRows writes the stale rows of runs that do nothing, until the engine stops. It sleeps while there are none.
func (g *Registry) KeepRows() {
	over := g.o.Lifecycle.Turns.Done()
	for {
		select {
		case <-over:
			return
		case <-g.stale.more:
		}
		select {
		case <-over:
			return
		case <-time.After(sweepRows):
			g.sweepRows()
		}
	}
}

// sweepRows writes rows that have been stale for rowAge.
func (g *Registry) sweepRows() {
	all := g.stale.take()
	now := all[:min(len(all), maxSwept)]
	g.stale.add(all[len(now):]...)
	slots := make(chan struct{}, sweepers)
	var done sync.WaitGroup
	for _, id := range now {
		slots <- struct{}{}
		done.Go(func() {
			defer func() { <-slots }()
			g.refreshRow(id)
		})
	}
	done.Wait()
}

// refreshRow writes the row of a run again, if the run is in memory and its row has been stale for rowAge.
func (g *Registry) refreshRow(id string) {
	g.mu.Lock()
	r := g.runs[id]
	if r != nil {
		r.refs.Add(1)
	}
	g.mu.Unlock()
	if r == nil {
		return
	}
	defer r.Release()
	select {
	case <-r.loaded:
	default:
		return
	}
	r.part.tasks.Begin()
	defer r.part.tasks.End()
	r.mu.Lock()
	var due, later bool
	switch {
	case r.staleSince == 0 || r.failed != nil || r.gone || r.part.life.Over() || r.part.life.Stopping():
	case r.writing || len(r.outbox) > 0 || r.reg.o.Now()-r.staleSince < int64(rowAge):
		later = true // the write that is under way or about to be made may have it
	default:
		due = true
	}
	r.mu.Unlock()
	if later {
		g.stale.add(id)
	}
	if due {
		r.writeHead()
	}
}

// rowMustChange reports whether a write must have the row, because it says something else than before that lists show. The
// caller holds mu.
func (r *Run) rowMustChange() bool {
	if r.staleSince != 0 && r.reg.o.Now()-r.staleSince >= int64(rowAge) {
		return true
	}
	is, was := r.s.WaitsFor(), r.stored.Run.Waiting
	if is.Kind == "" || is.Kind == flawless.WaitCall || r.problem != "" {
		return false
	}
	return was == nil || was.Kind != is.Kind || was.Call != is.Call
}

// rowIs notes that the row is up to date, or stale. The caller holds mu.
func (r *Run) rowIs(upToDate bool) {
	switch {
	case upToDate:
		r.staleSince = 0
	case r.staleSince == 0:
		r.staleSince = r.reg.o.Now()
		r.reg.stale.add(r.id)
	}
}

// waiting returns what the run waits for, or nil while it computes. The caller holds mu.
func (r *Run) waiting(status flawless.Status) *flawless.Wait {
	if r.problem != "" || status == flawless.Running {
		return nil
	}
	return r.s.Waiting()
}
