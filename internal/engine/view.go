package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/flawless-engine/flawless"
)

// Views returns the saved views, sorted by name.
func (e *Engine) Views(ctx context.Context) ([]flawless.View, error) { return e.store.Views(ctx) }

// SetView saves a view under its name, in place of one that has it. It returns flawless.Invalid if the view is not valid, and
// flawless.TooLarge if there are too many.
func (e *Engine) SetView(ctx context.Context, v flawless.View) error {
	if err := v.Check(); err != nil {
		return fmt.Errorf("saving a view: %w", err)
	}
	return e.changeView(ctx, v.Name, func(before *flawless.View, n int) (*flawless.View, error) {
		if before == nil && n >= flawless.MaxViews {
			return nil, fmt.Errorf("saving view %s: there are %d views, and at most %d are kept; remove one first (flawless view rm): %w", v.Name, n, flawless.MaxViews, flawless.TooLarge)
		}
		return &v, nil
	})
}

// RemoveView removes a view, or returns flawless.NotFound.
func (e *Engine) RemoveView(ctx context.Context, name string) error {
	return e.changeView(ctx, name, func(before *flawless.View, _ int) (*flawless.View, error) {
		if before == nil {
			return nil, fmt.Errorf("removing a view: there is no view %s: %w", name, flawless.NotFound)
		}
		return nil, nil
	})
}

// changeView replaces a view by what f returns, which gets the stored one and the number of views. It tries again when
// another server was faster.
func (e *Engine) changeView(ctx context.Context, name string, f func(before *flawless.View, n int) (*flawless.View, error)) error {
	for {
		all, err := e.store.Views(ctx)
		if err != nil {
			return err
		}
		var before *flawless.View
		if i := slices.IndexFunc(all, func(v flawless.View) bool { return v.Name == name }); i >= 0 {
			before = &all[i]
		}
		after, err := f(before, len(all))
		if err != nil {
			return err
		}
		err = elsewhere(e.store.PutView(ctx, e.lease, name, before, after))
		if !errors.Is(err, flawless.Conflict) || ctx.Err() != nil {
			return err
		}
	}
}
