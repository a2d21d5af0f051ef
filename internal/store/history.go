package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store/key"
	"github.com/flawless-engine/flawless/internal/store/kv"
)

// History returns whether the logs can be trusted to have every call that was made.
func (s *Store) History(ctx context.Context) (h flawless.History, err error) {
	err = s.get(ctx, key.History.Key(), &h, "history of the store")
	if errors.Is(err, flawless.NotFound) {
		err = nil
	}
	return h, err
}

// ChangeHistory changes the history with f, which reports whether it has changed anything, and returns it. f may be called
// several times: again if another server has changed it meanwhile. It needs no lease, because a change expects what it has
// read. A crash in the middle leaves the old or the new history.
func (s *Store) ChangeHistory(ctx context.Context, f func(h *flawless.History) bool) (flawless.History, error) {
	for {
		d := s.draft()
		h, changed, err := s.draftHistory(ctx, d, f)
		if err == nil && changed {
			err = s.kv.Apply(ctx, &d.batch)
		}
		s.release(d)
		switch {
		case err == nil:
			return h, nil
		case !errors.Is(err, flawless.Fenced):
			return h, fmt.Errorf("writing the history of the store: %w", err)
		}
	}
}

// draftHistory adds a change of the history to a draft.
func (s *Store) draftHistory(ctx context.Context, d *draft, f func(h *flawless.History) bool) (h flawless.History, changed bool, err error) {
	stored, err := s.kv.Get(ctx, key.History.Key())
	if err != nil && !errors.Is(err, flawless.NotFound) {
		return h, false, err
	}
	if stored != nil {
		if err := s.codec.Decode(stored, &h); err != nil {
			return h, false, err
		}
	}
	if !f(&h) {
		return h, false, nil
	}
	d.batch.Expect = append(d.batch.Expect, Item{Key: d.keep(key.History.Key()), Value: stored})
	return h, true, d.set(s.codec, key.History.Key(), &h)
}

// Losses returns the losses of the database that are not settled, see [Numbered].
func (s *Store) Losses(ctx context.Context) ([]Loss, error) { return kv.Losses(ctx, s.kv.KV) }

// SettleLoss forgets a loss, once nothing can happen twice because of it.
func (s *Store) SettleLoss(ctx context.Context, l Loss) error { return kv.Settle(ctx, s.kv.KV, l) }

// Branch names the history of the database that has all writes of this store, see [Changer]; "" if it has no name.
func (s *Store) Branch() string { return kv.Branch(s.kv.KV) }

// Moves returns how often the database has moved to another server, see [Changer].
func (s *Store) Moves() uint64 { return kv.Changes(s.kv.KV) }
