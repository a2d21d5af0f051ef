package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
)

// Roster shows the nodes of a cluster to people, and asks nodes to drain. Its fields do not change.
type Roster struct {
	Store *store.Store
	Self  string      // id of this node
	Seen  func() View // the newest view of this node
}

// Nodes returns all nodes, sorted by name. Those that were called dead are among them for an hour.
func (r *Roster) Nodes(ctx context.Context) ([]flawless.NodeStatus, error) {
	all, err := r.Store.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	owners, err := r.Store.Owners(ctx)
	if err != nil {
		return nil, err
	}
	has := map[string]int{}
	for _, owner := range owners[:store.Shards] {
		has[owner]++
	}
	h, err := r.Store.History(ctx)
	if err != nil {
		return nil, err
	}
	asked := func(n flawless.Node) bool {
		return slices.ContainsFunc(h.Rings, func(ring flawless.HistoryRing) bool { return ring.Open() && ring.ID != "" && ring.ID == n.Ring })
	}
	v := r.Seen()
	list := make([]flawless.NodeStatus, 0, len(all))
	for _, n := range all {
		list = append(list, flawless.NodeStatus{Node: n, Shards: has[n.ID], LeaseAge: v.Ages[n.ID].Milliseconds(), Self: n.ID == r.Self, Questioned: asked(n)})
	}
	slices.SortFunc(list, func(a, b flawless.NodeStatus) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
	return list, nil
}

// Drain has a node give its shards away, or take some again. The node sees it at its next renewal. name may also be its
// id. It returns [flawless.NotFound] if there is no such node, and [flawless.Conflict] if it has ended or several have the
// name.
func (r *Roster) Drain(ctx context.Context, name string, drain bool) (flawless.NodeStatus, error) {
	for {
		all, err := r.Nodes(ctx)
		if err != nil {
			return flawless.NodeStatus{}, err
		}
		one, err := pick(all, name)
		if err != nil || one.Draining == drain {
			return one, err
		}
		after := one.Node
		after.Draining = drain
		err = r.Store.PutNode(ctx, &one.Node, &after)
		if !errors.Is(err, flawless.Fenced) { // else it has renewed its lease in between
			one.Node = after
			return one, err
		}
	}
}

// pick returns the node with a name or an id that has not ended.
func pick(all []flawless.NodeStatus, name string) (flawless.NodeStatus, error) {
	var found []flawless.NodeStatus
	dead := false
	for _, n := range all {
		if n.Name == name || n.ID == name {
			if dead = dead || n.Dead; !n.Dead {
				found = append(found, n)
			}
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return flawless.NodeStatus{}, fmt.Errorf("%d nodes have the name %s: give the id of one of them: %w", len(found), name, flawless.Conflict)
	case dead:
		return flawless.NodeStatus{}, fmt.Errorf("node %s has ended, and others have its shards: %w", name, flawless.Conflict)
	}
	return flawless.NodeStatus{}, fmt.Errorf("there is no node %.100q: %w", name, flawless.NotFound)
}
