package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/flawless-engine/flawless"
)

// Lease is the right to write. Of all leases that were ever claimed, the one with the highest epoch is the current one.
// Every write needs it, except those of the format number, the first identity, the rows of nodes and the lease itself. Reading needs no
// lease.
type Lease struct {
	Owner string `cbor:"1,keyasint"`
	Epoch uint64 `cbor:"2,keyasint"`
}

// shardAll is the only shard: one lease covers all runs.
const shardAll = 0

// Claim takes over the lease from any other owner. As soon as it returns, writes under older leases return
// [flawless.Fenced]. A crash in the middle leaves the lease with the previous owner, or with this one, who must then
// claim it again.
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

// LastLease returns the current lease, or the zero value if there has never been one.
func (s *Store) LastLease(ctx context.Context) (Lease, error) {
	var l Lease
	if err := s.get(ctx, keyLease(shardAll), &l, "the lease"); err != nil && !errors.Is(err, flawless.NotFound) {
		return Lease{}, err
	}
	return l, nil
}

// leaseRow is a lease and its row in the database.
type leaseRow struct {
	lease Lease
	item  Item
}

// leased returns the row of l. It caches the last one, because all writes of an owner expect the same row.
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

// under builds a batch and applies it as the owner of l. If an expectation does not hold, it changes nothing, and
// returns [flawless.Fenced] if l is not the current lease, otherwise [flawless.Conflict].
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

// fenced finds out why a batch under l was refused.
func (s *Store) fenced(ctx context.Context, l Lease) error {
	var now Lease
	err := s.get(ctx, keyLease(shardAll), &now, "the lease")
	switch {
	case err != nil && !errors.Is(err, flawless.NotFound):
		return err
	case err != nil || now != l:
		return fmt.Errorf("the lease of %s with epoch %d is over; the current one is that of %s with epoch %d: %w", l.Owner, l.Epoch, now.Owner, now.Epoch, flawless.Fenced)
	}
	return fmt.Errorf("it has changed meanwhile: %w", flawless.Conflict)
}
