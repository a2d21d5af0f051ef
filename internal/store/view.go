package store

import (
	"context"
	"fmt"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store/key"
)

// Views returns the saved views, sorted by name.
func (s *Store) Views(ctx context.Context) ([]flawless.View, error) {
	return every[flawless.View](ctx, s, key.View, "the views")
}

// PutView saves a view, or removes it if after is nil. before is the stored view, or nil if there is none. It returns
// [flawless.Fenced] if l owns no shard, and [flawless.Conflict] if another view is stored. A crash in the middle leaves the
// old or the new view.
func (s *Store) PutView(ctx context.Context, l *Lease, name string, before, after *flawless.View) error {
	err := s.underAny(ctx, l, func(d *draft) error { return change(s.codec, d, key.View.Key().Text(name), before, after) })
	if err != nil {
		return fmt.Errorf("writing view %s: %w", name, err)
	}
	return nil
}
