package store

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store/key"
)

func keyNode(id string) key.Key { return key.Node.Key().Text(id) }

// Nodes returns the nodes of the cluster, dead ones included, sorted by id.
func (s *Store) Nodes(ctx context.Context) ([]flawless.Node, error) {
	return every[flawless.Node](ctx, s, key.Node, "the nodes")
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

// Owners returns the owner of each shard: the id of a node, or "" for a shard that nobody owns. The last one is that of
// [ShardOfCaps].
func (s *Store) Owners(ctx context.Context) (owners [Shards + 1]string, err error) {
	rows, err := s.leaseRows(ctx)
	for sh, row := range rows {
		owners[sh] = row.owner
	}
	return owners, err
}

// Holder is the owner of a shard: the id of a node, or "" if nobody owns it. Epoch grows whenever the owner changes.
type Holder struct {
	Node  string
	Epoch uint64
}

// Holders returns the owner of each shard, and the epoch at which it has it. The last one is that of [ShardOfCaps].
func (s *Store) Holders(ctx context.Context) (holders [Shards + 1]Holder, err error) {
	rows, err := s.leaseRows(ctx)
	for sh, row := range rows {
		holders[sh] = Holder{row.owner, row.epoch}
	}
	return holders, err
}

// TakeOver claims all shards of a node that has stopped, for a lease, and marks the node as dead, in one write. It returns
// the shards. seen says that the node was seen to stop: it does not only keep silent. dead is its row as it was when the node
// was last seen; if the node has renewed its lease since, or another
// node was faster, TakeOver returns [flawless.Fenced] and changes nothing. A crash in the middle leaves the shards with
// the dead node, or with the owner of the lease.
//
// If the node had a ring, the same write notes in the history that somebody has to find out whether it is needed
// ([flawless.RingTaken]): only afterwards it is certain in which branch of the history the write is.
func (s *Store) TakeOver(ctx context.Context, l *Lease, dead flawless.Node, seen bool) ([]Shard, error) {
	for {
		shards, err := s.takeOver(ctx, l, dead, seen)
		if !errors.Is(err, flawless.Fenced) {
			return shards, err
		}
		nodes, e := s.Nodes(ctx) // the history may have changed, and nothing else
		if e != nil || !slices.ContainsFunc(nodes, func(n flawless.Node) bool { return reflect.DeepEqual(n, dead) }) {
			return nil, errors.Join(err, e)
		}
	}
}

func (s *Store) takeOver(ctx context.Context, l *Lease, dead flawless.Node, seen bool) ([]Shard, error) {
	stored, err := s.leaseRows(ctx)
	if err != nil {
		return nil, err
	}
	var shards []Shard
	for sh, row := range stored {
		if row.owner == dead.ID {
			shards = append(shards, Shard(sh))
		}
	}
	err = s.claimRows(ctx, l, &stored, shards, func(leaseRow) bool { return seen }, &dead)
	if err != nil {
		return nil, fmt.Errorf("taking over from node %s: %w", dead.ID, err)
	}
	return shards, nil
}

// noteClaim marks a node as dead whose shards are claimed, nil for none, and notes in the history that it was taken over, and
// which claims are lost.
func (s *Store) noteClaim(ctx context.Context, d *draft, dead *flawless.Node, shards, lost []Shard) error {
	asked := false
	if dead != nil {
		after := *dead
		after.Dead, asked = true, dead.Ring != ""
		if err := change(s.codec, d, keyNode(dead.ID), dead, &after); err != nil {
			return err
		}
	}
	if !asked && len(lost) == 0 {
		return nil
	}
	_, _, err := s.draftHistory(ctx, d, func(h *flawless.History) bool {
		if asked {
			h.Take(*dead, key.Numbers(shards))
		}
		if len(lost) > 0 {
			h.Unknown(key.Numbers(lost))
		}
		return true
	})
	return err
}

// Free gives shards of a lease up, so that another node can claim them with [Store.ClaimFree]. The caller makes sure that
// no write to them is running. It returns [flawless.Fenced] if another owner has claimed one of them: that one, and no
// other, is then lost. A crash in the middle leaves all of them free, or none.
func (s *Store) Free(ctx context.Context, l *Lease, shards ...Shard) error {
	d := s.draft()
	defer s.release(d)
	freed := map[Shard]uint64{}
	nodes, err := s.Nodes(ctx)
	if err != nil {
		return err
	}
	others := slices.ContainsFunc(nodes, func(n flawless.Node) bool { return n.ID != l.owner && !n.Dead })
	for _, sh := range shards {
		row, err := l.await(ctx, sh)
		if err != nil {
			return fmt.Errorf("giving up shard %d: %w", sh, err)
		}
		if row == nil {
			return fmt.Errorf("giving up shard %d: %s does not own it: %w", sh, l.owner, flawless.Fenced)
		}
		d.batch.Expect = append(d.batch.Expect, row.item)
		if err := d.set(s.codec, key.OfLease(sh), leaseValue{Epoch: row.epoch, Unseen: l.Unseen(sh)}); err != nil {
			return err
		}
		if others {
			freed[sh] = row.epoch
		}
	}
	err = s.kv.Apply(ctx, &d.batch)
	if errors.Is(err, flawless.Fenced) {
		err = errors.Join(err, s.Confirm(ctx, l)) // so that those that were claimed are lost
	}
	if err != nil {
		return fmt.Errorf("giving up shards: %w", err)
	}
	l.Drop(shards...)
	for sh, epoch := range freed { // at once: the next owner may act before the rows are read again
		s.rivals.Load().Freed(int(sh), epoch)
	}
	return nil
}

// ClaimFree claims those of some shards whose owner is no living node, for a lease, and returns them. Of two nodes that claim
// the same shard, one gets it. A crash in the middle leaves all of them free, or with the owner of the lease.
func (s *Store) ClaimFree(ctx context.Context, l *Lease, shards ...Shard) ([]Shard, error) {
	stored, err := s.leaseRows(ctx)
	if err != nil {
		return nil, err
	}
	nodes, err := s.Nodes(ctx) // after the leases: a node writes its row before it claims, so an owner without a row has left
	if err != nil {
		return nil, err
	}
	living := func(id string) bool {
		return slices.ContainsFunc(nodes, func(n flawless.Node) bool { return n.ID == id && !n.Dead })
	}
	free := slices.DeleteFunc(slices.Clone(shards), func(sh Shard) bool { return living(stored[sh].owner) })
	return s.claimAsRead(ctx, l, &stored, free, func(old leaseRow) bool { return old.owner == "" })
}

// Reclaim claims those of some shards that the store says belong to the owner of a lease, and that the lease does not have.
func (s *Store) Reclaim(ctx context.Context, l *Lease, shards ...Shard) ([]Shard, error) {
	stored, err := s.leaseRows(ctx)
	if err != nil {
		return nil, err
	}
	own := slices.DeleteFunc(slices.Clone(shards), func(sh Shard) bool { return stored[sh].owner != l.owner || l.Has(sh) })
	return s.claimAsRead(ctx, l, &stored, own, running) // it is this node itself that may still send
}

// claimAsRead claims shards whose rows are still as they were read. If another node was faster with any of them, it claims
// none: the next attempt sees what is left.
func (s *Store) claimAsRead(ctx context.Context, l *Lease, stored *[Shards + 1]leaseRow, shards []Shard, ended func(leaseRow) bool) ([]Shard, error) {
	if len(shards) == 0 {
		return nil, nil
	}
	err := s.claimRows(ctx, l, stored, shards, ended, nil)
	if errors.Is(err, flawless.Fenced) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("claiming shards for %s: %w", l.owner, err)
	}
	return shards, nil
}
