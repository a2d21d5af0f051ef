package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store/key"
)

// Identity returns the identity of the store.
func (s *Store) Identity() flawless.Identity { return *s.identity.Load() }

// identify reads the identity, which the first write stores.
func (s *Store) identify(ctx context.Context) error {
	var id flawless.Identity
	err := s.get(ctx, key.Identity.Key(), &id, "the identity of the store")
	if errors.Is(err, flawless.NotFound) {
		return fmt.Errorf("it has a format number, but no identity: %w", flawless.Damaged)
	}
	if err != nil {
		return err
	}
	s.identity.Store(&id)
	return nil
}

// Adopt turns a copy of another store into a separate store: it gets a new id, remembers its origin, and is Holding. A
// crash in the middle leaves the old or the new identity.
func (s *Store) Adopt(ctx context.Context, now time.Time) error {
	old := s.Identity()
	id := flawless.Identity{ID: flawless.NewStoreID(now), Made: old.Made, Origin: old.ID, Accepted: &now, Holding: true}
	if old.Holding { // an earlier Adopt was not followed by Held
		id.Origin = old.Origin
	}
	d := s.draft()
	defer s.release(d)
	err := d.expect(s.codec, key.Identity.Key(), old)
	if err == nil {
		err = d.set(s.codec, key.Identity.Key(), id)
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

// Held records that all runs that were open in the origin are on hold. It returns [flawless.Fenced] if l owns no
// shard.
func (s *Store) Held(ctx context.Context, l *Lease) error {
	old := s.Identity()
	id := old
	id.Holding = false
	err := s.underAny(ctx, l, func(d *draft) error { return change(s.codec, d, key.Identity.Key(), &old, &id) })
	if err != nil {
		return fmt.Errorf("recording that all runs of a copy are on hold: %w", err)
	}
	s.identity.Store(&id)
	return nil
}
