package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store/key"
)

// Catalog says in which state the set of modules was when it was read. Every change of the set gives it a new number, so a
// write that expects a Catalog relies on modules that are still there. Servers on one database need this; one that has a
// database for itself does not.
type Catalog struct {
	row     catalogRow
	value   []byte // as stored; nil if there is no row yet
	removed map[string]bool
}

// catalogRow is the value of the row.
type catalogRow struct {
	Number uint64 `cbor:"1,keyasint"`
	Marks  []Mark `cbor:"2,keyasint,omitempty"`
}

// Mark reserves the bytes of modules while their owner removes them, or moves runs to them. It counts as long as the owner
// has a shard.
type Mark struct {
	ID       uint64   `cbor:"1,keyasint"`
	Owner    string   `cbor:"2,keyasint"`
	Digests  []string `cbor:"3,keyasint"`
	Removing bool     `cbor:"4,keyasint,omitempty"` // otherwise runs move to them
}

// ErrStale says that a Catalog has changed since it was read. It comes with [flawless.Conflict].
var ErrStale = errors.New("the modules have changed meanwhile")

// Removes reports whether the bytes of a module are being removed.
func (c *Catalog) Removes(digest string) bool { return c.removed[digest] }

// Same reports whether two catalogs are the same one. Nil is no catalog.
func (c *Catalog) Same(o *Catalog) bool {
	return c != nil && o != nil && bytes.Equal(c.value, o.value)
}

func keyCatalog() key.Key { return key.Change.Key().Text(string(rune(key.Version))) }

// Catalog reads the catalog. Read modules after it. If there is no row yet, it writes one, because some databases cannot
// keep a row from being added while another write expects that it is missing. It returns [flawless.Fenced] if it must write
// and l owns no shard.
func (s *Store) Catalog(ctx context.Context, l *Lease) (*Catalog, error) {
	for {
		c, err := s.catalog(ctx)
		if err != nil || c.value != nil {
			return c, err
		}
		err = s.underAny(ctx, l, func(d *draft) error { return c.change(s, d, nil) })
		if err != nil && !errors.Is(err, flawless.Conflict) {
			return nil, fmt.Errorf("writing the catalog of modules: %w", err)
		}
	}
}

func (s *Store) catalog(ctx context.Context) (*Catalog, error) {
	c := &Catalog{}
	value, err := s.kv.Get(ctx, keyCatalog())
	switch {
	case errors.Is(err, flawless.NotFound):
		return c, nil
	case err == nil:
		c.value = value
		err = s.codec.Decode(value, &c.row)
	}
	if err != nil {
		return nil, reading(keyCatalog(), err, "the catalog of modules")
	}
	for _, m := range c.row.Marks {
		for _, digest := range m.Digests {
			if m.Removing {
				if c.removed == nil {
					c.removed = map[string]bool{}
				}
				c.removed[digest] = true
			}
		}
	}
	return c, nil
}

// expect adds the expectation that the catalog is still the stored one.
func (c *Catalog) expect(d *draft) {
	d.batch.Expect = append(d.batch.Expect, Item{Key: d.keep(keyCatalog()), Value: c.value})
}

// change gives the catalog the next number, and other marks unless marks is nil.
func (c *Catalog) change(s *Store, d *draft, marks func([]Mark) []Mark) error {
	c.expect(d)
	row := catalogRow{Number: c.row.Number + 1, Marks: c.row.Marks}
	if marks != nil {
		row.Marks = marks(slices.Clone(row.Marks))
	}
	return d.set(s.codec, keyCatalog(), row)
}

// Reserve marks the bytes of modules. It removes the marks that abandoned selects, and those of owners that have no shard
// any more. It returns [flawless.Conflict] if the bytes are being removed, or, with removing, if runs move to
// them; and [flawless.Fenced] if l owns no shard. A crash leaves the mark until the owner has lost its shards.
func (s *Store) Reserve(ctx context.Context, l *Lease, digests []string, removing bool, abandoned func(Mark) bool) (Mark, error) {
	m := Mark{ID: rand.Uint64(), Owner: l.owner, Digests: digests, Removing: removing}
	err := s.remark(ctx, l, func(marks []Mark, owners map[string]bool) ([]Mark, error) {
		var left []Mark
		for _, o := range marks {
			if !owners[o.Owner] || abandoned(o) {
				continue
			}
			left = append(left, o)
			if !slices.ContainsFunc(o.Digests, func(digest string) bool { return slices.Contains(digests, digest) }) {
				continue
			}
			switch {
			case o.Removing:
				return nil, fmt.Errorf("the module is being removed by another request: %w", flawless.Conflict)
			case removing:
				return nil, fmt.Errorf("an upgrade moves runs to the module; repeat this when it has ended: %w", flawless.Conflict)
			}
		}
		return append(left, m), nil
	})
	return m, err
}

// Unreserve removes the marks that done selects, and those of owners that have no shard any more. It returns
// [flawless.Fenced] if there are any and l owns no shard.
func (s *Store) Unreserve(ctx context.Context, l *Lease, done func(Mark) bool) error {
	return s.remark(ctx, l, func(marks []Mark, owners map[string]bool) ([]Mark, error) {
		return slices.DeleteFunc(marks, func(o Mark) bool { return !owners[o.Owner] || done(o) }), nil
	})
}

// remark changes the marks of the catalog. edit gets them and who owns shards, and may be called several times.
func (s *Store) remark(ctx context.Context, l *Lease, edit func(marks []Mark, owners map[string]bool) ([]Mark, error)) error {
	for {
		c, err := s.catalog(ctx)
		if err != nil {
			return err
		}
		rows, err := s.leaseRows(ctx) // after the catalog: who has marked something since is in another one
		if err != nil {
			return err
		}
		owners := map[string]bool{}
		for _, row := range rows {
			owners[row.owner] = true
		}
		marks, err := edit(slices.Clone(c.row.Marks), owners)
		if err != nil {
			return err
		}
		if slices.EqualFunc(marks, c.row.Marks, func(a, b Mark) bool { return a.ID == b.ID }) {
			return nil
		}
		err = s.underAny(ctx, l, func(d *draft) error { return c.change(s, d, func([]Mark) []Mark { return marks }) })
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, flawless.Conflict):
			return fmt.Errorf("writing the catalog of modules: %w", err)
		}
	}
}
