package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store/key"
)

// History returns whether the logs can be trusted to have every call that was made.
func (s *Store) History(ctx context.Context) (h flawless.History, err error) {
	err = s.get(ctx, key.History.Key(), &h, "history of the store")
	if errors.Is(err, flawless.NotFound) {
		err = nil
	}
	return h, err
}

// PutHistory replaces the history. It returns [flawless.Conflict] if the stored one is not before, and [flawless.Fenced]
// if l owns no shard; nothing has changed then.
func (s *Store) PutHistory(ctx context.Context, l *Lease, before, after flawless.History) error {
	stored, err := s.kv.Get(ctx, key.History.Key())
	if err != nil && !errors.Is(err, flawless.NotFound) {
		return fmt.Errorf("writing the history of the store: %w", err)
	}
	known := stored == nil // nobody has written it
	if !known {
		var h flawless.History
		if err := s.codec.Decode(stored, &h); err != nil {
			return fmt.Errorf("writing the history of the store: %w", err)
		}
		known = h.Open == before.Open && len(h.Shards) == len(before.Shards) && h.Since.Equal(before.Since) && len(h.Reasons) == len(before.Reasons)
	}
	if !known {
		return fmt.Errorf("writing the history of the store: it has changed meanwhile: %w", flawless.Conflict)
	}
	err = s.underAny(ctx, l, func(d *draft) error {
		d.batch.Expect = append(d.batch.Expect, Item{Key: d.keep(key.History.Key()), Value: stored})
		return d.set(s.codec, key.History.Key(), &after)
	})
	if err != nil {
		return fmt.Errorf("writing the history of the store: %w", err)
	}
	return nil
}

// Losses returns the losses of the database that are not settled, see [Numbered].
func (s *Store) Losses(ctx context.Context) ([]Loss, error) {
	if n, ok := s.kv.KV.(Numbered); ok {
		return n.Losses(ctx)
	}
	return nil, nil
}

// SettleLoss forgets a loss, once nothing can happen twice because of it.
func (s *Store) SettleLoss(ctx context.Context, l Loss) error {
	if n, ok := s.kv.KV.(Numbered); ok {
		return n.Settle(ctx, l)
	}
	return nil
}

// Moves returns how often the database has moved to another server, see [Changer].
func (s *Store) Moves() uint64 {
	if c, ok := s.kv.KV.(Changer); ok {
		return c.Changes()
	}
	return 0
}
