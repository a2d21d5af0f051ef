package store

import (
	"context"
	"fmt"

	"github.com/flawless-engine/flawless"
)

const familyNode family = 'n'

func keyNode(id string) key { return key(nil).family(familyNode).text(id) }

// Nodes returns the nodes of the cluster, dead ones included, sorted by id.
func (s *Store) Nodes(ctx context.Context) ([]flawless.Node, error) {
	return every[flawless.Node](ctx, s, familyNode, "the nodes")
}

// PutNode writes the row of a node, or removes it if after is nil. before is the stored row, or nil if there is none. It
// needs no lease. It returns [flawless.Fenced] if the stored row is another one; nothing has changed then. A crash in the
// middle leaves the old or the new row.
func (s *Store) PutNode(ctx context.Context, before, after *flawless.Node) error {
	d := s.draft()
	defer s.release(d)
	id := ""
	if after != nil {
		id = after.ID
	} else {
		id = before.ID
	}
	err := change(s.codec, d, keyNode(id), before, after)
	if err == nil {
		err = s.kv.Apply(ctx, &d.batch)
	}
	if err != nil {
		return fmt.Errorf("writing the row of node %s: %w", id, err)
	}
	return nil
}
