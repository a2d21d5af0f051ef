package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/flawless-engine/flawless"
)

// Cluster is what an engine knows of the servers on its database, itself included.
type Cluster interface {
	// Away returns since when the database has not answered and why, or the zero time.
	Away() (since time.Time, why string)
	// Ready returns why clients should use another server now, or nil. It asks the database, and takes a second at most.
	Ready(ctx context.Context) error
	// Nodes returns all servers, sorted by name. Those that have stopped are among them for an hour.
	Nodes(ctx context.Context) ([]flawless.NodeStatus, error)
	// Drain has a server give its shards away, or take some again. name may also be its id.
	Drain(ctx context.Context, name string, drain bool) (flawless.NodeStatus, error)
}

// term is when the engine may act, see [store.Term].
type term struct {
	valid func() bool
	await func(ctx context.Context) error
}

func (t term) Valid() bool { return t.valid() }

func (t term) Await(ctx context.Context) error {
	if t.await == nil {
		return errors.New("the lease is over")
	}
	return t.await(ctx)
}

// Away returns why no request can be carried out, as flawless.Stopping, because the database does not answer; or nil.
func (e *Engine) Away() error {
	if e.cluster == nil {
		return nil
	}
	since, why := e.cluster.Away()
	if since.IsZero() {
		return nil
	}
	return fmt.Errorf("the database has not answered since %s: %s. Calls in flight are kept, nothing new begins, and everything goes on by itself when the database is back; send the request again then: %w",
		since.UTC().Format(time.RFC3339), why, flawless.Stopping)
}

// Ready returns why clients should use another server now, or nil.
func (e *Engine) Ready(ctx context.Context) error {
	switch h := e.Health(); {
	case h.State != "ok" && h.State != "damaged":
		return fmt.Errorf("%s: %s", h.State, h.Message)
	case e.cluster == nil:
		return nil
	}
	return e.cluster.Ready(ctx)
}

// Nodes returns the servers on the database. Without a database there are none.
func (e *Engine) Nodes(ctx context.Context) ([]flawless.NodeStatus, error) {
	if e.cluster == nil {
		return []flawless.NodeStatus{}, nil
	}
	return e.cluster.Nodes(ctx)
}

// DrainNode has a server give its shards away, or with drain=false take some again. It returns flawless.NotFound if there
// is none, flawless.Conflict if it has ended or several have the name, and flawless.Invalid without a database.
func (e *Engine) DrainNode(ctx context.Context, name string, drain bool) (flawless.NodeStatus, error) {
	if e.cluster == nil {
		return flawless.NodeStatus{}, fmt.Errorf("this server has its store in its working directory, so it is no node of a cluster; start it with --store postgres://...: %w", flawless.Invalid)
	}
	return e.cluster.Drain(ctx, name, drain)
}

// Load returns how many guests are in memory, and how many attempts of calls have begun since the server came up.
func (e *Engine) Load() (guests int, calls int64) {
	guests, _, _ = e.residency.Slots()
	return guests, e.runs.Counts().Begun
}
