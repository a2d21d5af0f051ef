// Package view keeps the saved views of lists: a name, a page and its query. All servers have the same ones.
package view

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
)

// Views are the saved views of a store. Its methods may be called concurrently; a crash in the middle of a change leaves the
// old or the new view.
type Views struct {
	Store   *store.Store
	Lease   *store.Lease
	Refused func(error) error // what a write that was refused means here
}

// List returns the saved views, sorted by name.
func (s *Views) List(ctx context.Context) ([]flawless.View, error) { return s.Store.Views(ctx) }

// Set saves a view under its name, in place of one that has it. It returns flawless.Invalid if the view is not valid, and
// flawless.TooLarge if there are too many.
func (s *Views) Set(ctx context.Context, v flawless.View) error {
	if err := v.Check(); err != nil {
		return fmt.Errorf("saving a view: %w", err)
	}
	return s.change(ctx, v.Name, func(before *flawless.View, n int) (*flawless.View, error) {
		if before == nil && n >= flawless.MaxViews {
			return nil, fmt.Errorf("saving view %s: there are %d views, and at most %d are kept; remove one first (flawless view rm): %w", v.Name, n, flawless.MaxViews, flawless.TooLarge)
		}
		return &v, nil
	})
}

// Remove removes a view, or returns flawless.NotFound.
func (s *Views) Remove(ctx context.Context, name string) error {
	return s.change(ctx, name, func(before *flawless.View, _ int) (*flawless.View, error) {
		if before == nil {
			return nil, fmt.Errorf("removing a view: there is no view %s: %w", name, flawless.NotFound)
		}
		return nil, nil
	})
}

// change replaces a view by what f returns, which gets the stored one and the number of views. It tries again when
// another server was faster.
func (s *Views) change(ctx context.Context, name string, f func(before *flawless.View, n int) (*flawless.View, error)) error {
	for {
		all, err := s.Store.Views(ctx)
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
		err = s.Refused(s.Store.PutView(ctx, s.Lease, name, before, after))
		if !errors.Is(err, flawless.Conflict) || ctx.Err() != nil {
			return err
		}
	}
}
