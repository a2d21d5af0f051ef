package statelock

import (
	"context"
	"sync"

	"github.com/flawless-engine/flawless/internal/task"
)

// Crossing finds deadlocks over several servers. Each server looks for them that has a run which waits for a run elsewhere:
// when its run comes to rest, and again every few seconds, because the run that closes the circle may rest later and
// elsewhere. All of them choose the same call to fail. All methods may be called concurrently.
type Crossing struct {
	d    *Detector
	here func(run string) bool
	some chan struct{} // has an item when there are runs

	mu   sync.Mutex
	runs []string // that have come to rest
}

// NewCrossing returns a Crossing. d looks at runs of all servers; here reports whether this server owns a run.
func NewCrossing(d *Detector, here func(run string) bool) *Crossing {
	return &Crossing{d: d, here: here, some: make(chan struct{}, 1)}
}

// Add has a run checked that has come to rest, if it waits for a run elsewhere.
func (c *Crossing) Add(run string) {
	if !c.d.Graph.crossesFrom(run, c.here) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.runs = append(c.runs, run)
	task.Poke(c.some)
}

// Added returns a channel that receives an item when Check has something to do.
func (c *Crossing) Added() <-chan struct{} { return c.some }

// Check checks the runs that were added.
func (c *Crossing) Check(ctx context.Context) {
	c.mu.Lock()
	runs := c.runs
	c.runs = nil
	c.mu.Unlock()
	c.check(ctx, runs)
}

// CheckAll checks all runs of this server that wait for a run elsewhere.
func (c *Crossing) CheckAll(ctx context.Context) { c.check(ctx, c.d.Graph.crossing(c.here)) }

// check breaks the deadlocks that runs are part of. Usually one look at each run finds one that can continue, and many runs
// wait for the same ones.
func (c *Crossing) check(ctx context.Context, runs []string) {
	type look struct {
		Resting
		rests bool
	}
	seen := map[string]look{}
	for _, run := range runs {
		found := stuck(run, func(id string) (Resting, bool) {
			l, known := seen[id]
			if !known {
				l.Resting, l.rests = c.d.Look(id)
				seen[id] = l
			}
			return l.Resting, l.rests
		})
		if found != nil && ctx.Err() == nil {
			c.d.breakAll(run)
		}
	}
}
