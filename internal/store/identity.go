package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/flawless-engine/flawless"
)

// Identity returns which store this is.
func (s *Store) Identity() flawless.Identity { return *s.identity.Load() }

// identify reads the identity, which lies in the database since its first write.
func (s *Store) identify(ctx context.Context) error {
	var id flawless.Identity
	err := s.get(ctx, keyIdentity(), &id, "the identity of the store")
	if errors.Is(err, flawless.NotFound) {
		return fmt.Errorf("it has a format number and no identity: %w", flawless.Damaged)
	}
	if err != nil {
		return err
	}
	s.identity.Store(&id)
	return nil
}

// Adopt makes this store, which is a copy of another one, a store of its own: it gets an id, remembers
// its origin, and is Holding. A crash in the middle leaves it as it was, or that.
func (s *Store) Adopt(ctx context.Context, now time.Time) error {
	old := s.Identity()
	id := flawless.Identity{ID: flawless.NewStoreID(now), Made: old.Made, Origin: old.ID, Accepted: &now, Holding: true}
	d := s.draft()
	defer s.release(d)
	err := d.expect(s.codec, keyIdentity(), old)
	if err == nil {
		err = d.set(s.codec, keyIdentity(), id)
	}
	if err == nil {
		err = s.kv.Apply(ctx, &d.batch)
	}
	if err != nil {
		return fmt.Errorf("accepting a copy of store %s: %w", old.ID, err)
	}
	s.identity.Store(&id)
	return nil
}

// Held notes that all runs that were open in the origin are held back. It returns [flawless.Fenced] where
// l is not the lease that holds.
func (s *Store) Held(ctx context.Context, l Lease) error {
	id := s.Identity()
	id.Holding = false
	err := s.under(ctx, l, func(d *draft) error { return d.set(s.codec, keyIdentity(), id) })
	if err != nil {
		return fmt.Errorf("noting that all runs of a copy are held back: %w", err)
	}
	s.identity.Store(&id)
	return nil
}
