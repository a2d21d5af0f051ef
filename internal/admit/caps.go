package admit

import (
	"context"
	"log/slog"
	"slices"
	"sync/atomic"

	"github.com/flawless-engine/flawless/internal/rpc"
	"github.com/flawless-engine/flawless/internal/store"
)

// CapsOptions configures Caps. Everything but Shared is required.
type CapsOptions struct {
	Control Options
	Shared  bool // other servers have runs in the same store
	Store   *store.Store
	Lease   *store.Lease
	Peers   *rpc.Endpoint
	Context context.Context // ends with the engine
	Go      func(f func())
	Log     *slog.Logger
}

// Caps decide which runs of this server may begin. A server that has its store for itself has a Control. Several servers ask
// the one that owns store.ShardOfCaps. All methods may be called concurrently, except Load, Start and Abandon.
type Caps struct {
	admission // the Control or the Asker
	o         CapsOptions
	alone     *Control // nil if Shared
	asker     *Asker   // nil unless Shared
	owner     atomic.Pointer[ownerWhile]
}

// admission is what Control and Asker have in common.
type admission interface {
	Admits(r Run) bool
	Leave(r Run)
	LeaveEnded(ctx context.Context, id string) error
	Blockers(id string) (runs []string, by string)
	Count() int
}

// ownerWhile is the Owner of the caps until stop is called.
type ownerWhile struct {
	*Owner
	stop context.CancelFunc
}

// opCaps asks the owner of the caps which runs may begin, and tells it which have ended.
const opCaps rpc.Op[Request, Answer] = "caps"

// NewCaps returns Caps without runs, and answers other servers while this one owns the caps.
func NewCaps(o CapsOptions) *Caps {
	c := &Caps{o: o}
	if !o.Shared {
		c.alone = New(o.Control)
		c.admission = c.alone
		return c
	}
	opCaps.Handle(o.Peers, c.serve)
	c.asker = NewAsker(AskerOptions{Self: o.Lease.Owner(), Cap: o.Control.Cap, Wake: o.Control.Wake, Parked: o.Control.Parked,
		Context: o.Context, Go: o.Go, Ask: func(ctx context.Context, in Request) (Answer, error) {
			if c.owner.Load() != nil {
				return c.serve(ctx, in)
			}
			return opCaps.Ask(ctx, o.Peers, store.ShardOfCaps, in)
		}})
	c.admission = c.asker
	return c
}

// serve carries out opCaps.
func (c *Caps) serve(ctx context.Context, in Request) (Answer, error) {
	owner := c.owner.Load()
	if owner == nil {
		return Answer{}, &store.ElsewhereError{Shard: store.ShardOfCaps}
	}
	return owner.Serve(ctx, in)
}

// Load reads which runs of shards have begun or wait to begin, or those of all shards if the caps are among them.
func (c *Caps) Load(ctx context.Context, shards []store.Shard) error {
	if !c.o.Shared {
		return c.alone.Load(ctx, shards)
	}
	defer c.asker.Renew()
	if !slices.Contains(shards, store.ShardOfCaps) {
		return nil
	}
	while, stop := context.WithCancel(c.o.Context)
	lease := c.o.Lease
	o := OwnerOptions{Control: c.o.Control, Term: lease.Epoch(store.ShardOfCaps), Grants: c.o.Store.Grants, Context: while, Go: c.o.Go, Log: c.o.Log,
		Put:  func(ctx context.Context, runs ...string) error { return c.o.Store.PutGrants(ctx, lease, runs...) },
		Drop: func(ctx context.Context, runs ...string) error { return c.o.Store.DropGrants(ctx, lease, runs...) }}
	o.Control.Parked = func(string) {} // the run's own server asks
	owner, err := NewOwner(ctx, o, store.AllShards())
	if err != nil {
		stop()
		return err
	}
	c.owner.Store(&ownerWhile{owner, stop})
	c.o.Go(owner.Watch)
	return nil
}

// Start admits runs of shards that wait, now that the engine accepts their work.
func (c *Caps) Start(ctx context.Context, shards []store.Shard) error {
	c.Shift()
	if !c.o.Shared {
		return nil
	}
	return c.asker.Load(ctx, c.o.Store, c.o.Control.Modules(), shards)
}

// Abandon forgets the runs that another server continues, and the caps if it owns them now.
func (c *Caps) Abandon(gone func(run string) bool, caps bool) {
	if !c.o.Shared {
		c.alone.Abandon(gone)
		return
	}
	c.asker.Abandon(gone)
	if caps {
		if owner := c.owner.Swap(nil); owner != nil {
			owner.stop()
		}
		c.asker.Renew()
	}
}

// Track counts the open runs of a module that has just received a cap.
func (c *Caps) Track(ctx context.Context, module string) error {
	if !c.o.Shared {
		return c.alone.Track(ctx, module)
	}
	if owner := c.owner.Load(); owner != nil {
		return owner.Track(ctx, module)
	}
	return nil
}

// Shift admits all runs that the caps allow.
func (c *Caps) Shift() {
	if !c.o.Shared {
		c.alone.Shift()
	} else if owner := c.owner.Load(); owner != nil {
		owner.Shift()
	}
}

// Empty reports whether nothing is left of any run. Tests use it to find leaks.
func (c *Caps) Empty() bool {
	if !c.o.Shared {
		return c.alone.Empty()
	}
	owner := c.owner.Load()
	return c.asker.Empty() && (owner == nil || owner.Empty())
}
