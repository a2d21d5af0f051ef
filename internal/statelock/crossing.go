package statelock

import (
	"context"
	"slices"
	"sync"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/rpc"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/task"
)

// CrossingOptions configures a Crossing. Everything is required.
type CrossingOptions struct {
	Graph *Graph
	// Owns returns nil if this server owns a run, else flawless.Elsewhere. MayTell returns nil only if what this server knows of a
	// run is the truth.
	Owns, MayTell func(run string) error
	// Look returns what a run of this server waits for, or false if it may continue. The edges of states that other servers own
	// lead nowhere.
	Look func(run string) (Resting, bool)
	// Fail answers the call of an edge of a run of this server with an error. It returns false if it cannot.
	Fail    func(first Edge, why string) bool
	State   func(ctx context.Context, name string) (store.State, error) // reads the store
	Peers   *rpc.Endpoint                                               // the other servers
	Context context.Context                                             // ends with the engine
}

// Crossing finds deadlocks over several servers. Each server looks for them that has a run which waits for a run elsewhere:
// when its run comes to rest, and again every few seconds, because the run that closes the circle may rest later and
// elsewhere. All of them choose the same call to fail. All methods may be called concurrently.
type Crossing struct {
	o    CrossingOptions
	d    Detector      // looks at runs of all servers
	some chan struct{} // has an item when there are runs

	mu   sync.Mutex
	runs []string // that have come to rest
}

// NewCrossing returns a Crossing, and serves those of other servers.
func NewCrossing(o CrossingOptions) *Crossing {
	c := &Crossing{o: o, some: make(chan struct{}, 1)}
	c.d.Graph, c.d.Look, c.d.Fail = o.Graph, c.lookAnywhere, c.failAnywhere
	opLook.Handle(o.Peers, c.serveLook)
	opBreak.Handle(o.Peers, c.serveBreak)
	return c
}

// here reports whether this server owns a run.
func (c *Crossing) here(run string) bool { return c.o.Owns(run) == nil }

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

// look returns what a run of this server waits for, or false if it may continue. The store has the holders of states.
func (c *Crossing) look(ctx context.Context, run string) (Resting, bool, error) {
	r, rests := c.o.Look(run)
	if !rests {
		return r, false, nil
	}
	for i, x := range r.Edges {
		if x.To != "" {
			continue
		}
		st, err := c.o.State(ctx, x.Wanted.State)
		if err != nil || st.Holder == nil || *st.Holder == (flawless.Claim{Run: run, Call: x.Call}) { // it is about to be told
			return r, false, err
		}
		r.Edges[i].To = st.Holder.Run
	}
	return r, true, nil
}

// lookAnywhere is look for any run. A run whose server cannot be asked may continue.
func (c *Crossing) lookAnywhere(run string) (Resting, bool) {
	ctx, cancel := context.WithTimeout(c.o.Context, rpc.Patience)
	defer cancel()
	if c.here(run) {
		r, rests, err := c.look(ctx, run)
		return r, rests && err == nil
	}
	l, err := opLook.Ask(ctx, c.o.Peers, store.ShardOf(run), run)
	return l.Resting, l.Rests && err == nil
}

// failAnywhere is Fail for a call of any run.
func (c *Crossing) failAnywhere(first Edge, why string) bool {
	if c.here(first.From) {
		return c.o.Fail(first, why)
	}
	ctx, cancel := context.WithTimeout(c.o.Context, rpc.Patience)
	defer cancel()
	told, err := opBreak.Ask(ctx, c.o.Peers, store.ShardOf(first.From), breakRequest{first, why})
	return err == nil && told
}

// opLook returns what a run waits for. opBreak answers the call of an edge with an error, if it still waits as the edge says.
const (
	opLook  rpc.Op[string, looked]     = "look"
	opBreak rpc.Op[breakRequest, bool] = "deadlock"
)

type looked struct {
	Resting Resting
	Rests   bool
}

type breakRequest struct {
	First Edge
	Why   string
}

// serveLook carries out opLook.
func (c *Crossing) serveLook(ctx context.Context, run string) (l looked, err error) {
	if err := c.o.MayTell(run); err != nil {
		return l, err
	}
	l.Resting, l.Rests, err = c.look(ctx, run)
	return l, err
}

// serveBreak carries out opBreak.
func (c *Crossing) serveBreak(ctx context.Context, in breakRequest) (bool, error) {
	if err := c.o.MayTell(in.First.From); err != nil {
		return false, err
	}
	r, rests, err := c.look(ctx, in.First.From)
	return rests && slices.Contains(r.Edges, in.First) && c.o.Fail(in.First, in.Why), err
}
