package task

import (
	"context"
	"sync"
)

// Group counts those tasks of Tasks that belong together. All methods may be called concurrently.
type Group struct {
	Tasks *Tasks

	mu   sync.Mutex
	n    int
	none chan struct{} // closed when n becomes 0; nil while nobody waits for that
}

// Go runs f in a goroutine of Tasks.
func (g *Group) Go(f func()) {
	g.Begin()
	g.Tasks.Go(func() {
		defer g.End()
		f()
	})
}

// Begin counts a task that the caller runs in a goroutine of its own, until it calls End.
func (g *Group) Begin() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.n++
}

// End ends a task that was counted by Begin.
func (g *Group) End() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.n--; g.n == 0 && g.none != nil {
		close(g.none)
		g.none = nil
	}
}

// Leave stops counting a task that goes on to run: nobody waits for it any more, in the group or in Tasks. The task calls Return
// before it ends.
func (g *Group) Leave() {
	g.End()
	g.Tasks.add(-1)
}

// Return counts a task again that Leave was called for.
func (g *Group) Return() {
	g.Tasks.add(1)
	g.Begin()
}

// WhenNone waits until no task of the group is running, and calls f before another one begins. If ctx ends before that, it
// returns the error of ctx.
func (g *Group) WhenNone(ctx context.Context, f func()) error {
	for {
		g.mu.Lock()
		if g.n == 0 {
			defer g.mu.Unlock()
			f()
			return nil
		}
		if g.none == nil {
			g.none = make(chan struct{})
		}
		none := g.none
		g.mu.Unlock()
		select {
		case <-none:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
