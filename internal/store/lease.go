package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/flawless-engine/flawless"
)

// Lease is the right to write. Of all that were ever claimed, the one with the highest epoch holds.
// Everything is written under it, but for the number of the format and the identity, which come before
// the first lease, and the lease itself. Readers need none.
type Lease struct {
	Owner string `cbor:"1,keyasint"`
	Epoch uint64 `cbor:"2,keyasint"`
}

// shardAll is the only shard there is today: one lease covers all runs.
const shardAll = 0

// Claim takes the lease over, whoever holds it. Writes under the older one return
// [flawless.Fenced] from the moment it returns. A crash in the middle leaves the lease with the
// owner before or with this one, who then does not know of it and has to claim again.
func (s *Store) Claim(ctx context.Context, owner string) (Lease, error) {
	for {
		l, err := s.claim(ctx, owner)
		if !errors.Is(err, flawless.Fenced) {
			return l, err
		}
	}
}

func (s *Store) claim(ctx context.Context, owner string) (Lease, error) {
	d := s.draft()
	defer s.release(d)
	k := keyLease(shardAll)

	var old Lease
	switch err := s.get(ctx, k, &old, "the lease"); {
	case errors.Is(err, flawless.NotFound):
		d.absent(k)
	case err != nil:
		return Lease{}, err
	default:
		if err := d.expect(s.codec, k, old); err != nil {
			return Lease{}, fmt.Errorf("claiming the lease: %w", err)
		}
	}
	l := Lease{Owner: owner, Epoch: old.Epoch + 1}
	err := d.set(s.codec, k, l)
	if err == nil {
		err = s.kv.Apply(ctx, &d.batch)
	}
	if err != nil {
		return Lease{}, fmt.Errorf("claiming the lease for %s: %w", owner, err)
	}
	return l, nil
}

// LastLease returns the newest lease that was claimed, or the zero one where nobody ever has.
func (s *Store) LastLease(ctx context.Context) (Lease, error) {
	var l Lease
	if err := s.get(ctx, keyLease(shardAll), &l, "the lease"); err != nil && !errors.Is(err, flawless.NotFound) {
		return Lease{}, err
	}
	return l, nil
}

// leaseRow is a lease as the database holds it.
type leaseRow struct {
	lease Lease
	item  Item
}

// leased returns the row that holds l. The one asked for last is kept, as all writes of an owner
// expect the same.
func (s *Store) leased(l Lease) (Item, error) {
	if row := s.lease.Load(); row != nil && row.lease == l {
		return row.item, nil
	}
	var b bytes.Buffer
	if err := s.codec.Encode(&b, l); err != nil {
		return Item{}, fmt.Errorf("the lease: %w", err)
	}
	row := &leaseRow{l, Item{keyLease(shardAll), b.Bytes()}}
	s.lease.Store(row)
	return row.item, nil
}

// under has a batch built and applies it as the owner of l. Where something is not as the batch
// expects it, it returns [flawless.Fenced] if l is not the lease that holds, else
// [flawless.Conflict]; nothing has changed then.
func (s *Store) under(ctx context.Context, l Lease, build func(d *draft) error) error {
	d := s.draft()
	defer s.release(d)
	row, err := s.leased(l)
	if err != nil {
		return err
	}
	d.batch.Expect = append(d.batch.Expect, row)
	if err := build(d); err != nil {
		return err
	}
	err = s.kv.Apply(ctx, &d.batch)
	if errors.Is(err, flawless.Fenced) {
		err = s.fenced(ctx, l)
	}
	return err
}

// fenced finds out which expectation of a batch under l did not hold.
func (s *Store) fenced(ctx context.Context, l Lease) error {
	var now Lease
	err := s.get(ctx, keyLease(shardAll), &now, "the lease")
	switch {
	case err != nil && !errors.Is(err, flawless.NotFound):
		return err
	case err != nil || now != l:
		return fmt.Errorf("epoch %d of %s is over, the lease is at epoch %d of %q: %w", l.Epoch, l.Owner, now.Epoch, now.Owner, flawless.Fenced)
	}
	return fmt.Errorf("it is not as it was before: %w", flawless.Conflict)
}
