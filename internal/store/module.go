package store

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store/codec"
	"github.com/flawless-engine/flawless/internal/store/key"
)

// AddModule stores a module and its bytes as the next version of its name, and returns it with that version and true. If
// the newest version has the same digest, it returns that one and false, and changes nothing, except that it writes the
// bytes again if the stored ones are damaged. It does not check m.Digest. It returns [flawless.Fenced] if l owns no
// shard. A crash in the middle leaves the version with its bytes, or nothing.
func (s *Store) AddModule(ctx context.Context, l *Lease, m flawless.Module, bin []byte) (flawless.Module, bool, error) {
	if m.Name == "" || m.Digest == "" {
		return flawless.Module{}, false, fmt.Errorf("adding a module: it has no name or no digest: %w", flawless.Invalid)
	}
	for {
		added, isNew, err := s.addModule(ctx, l, m, bin)
		switch {
		case errors.Is(err, flawless.Conflict): // another version was added concurrently
			continue
		case err != nil:
			return flawless.Module{}, false, fmt.Errorf("adding module %s: %w", m.Name, err)
		}
		return added, isNew, nil
	}
}

func (s *Store) addModule(ctx context.Context, l *Lease, m flawless.Module, bin []byte) (flawless.Module, bool, error) {
	c, err := s.catalog(ctx)
	if err != nil {
		return flawless.Module{}, false, err
	}
	newest, err := s.versions(ctx, m.Name, 1)
	if err != nil {
		return flawless.Module{}, false, err
	}
	m.Version = 1
	if len(newest) > 0 {
		if newest[0].Digest == m.Digest {
			if _, err := s.Binary(ctx, m.Digest); errors.Is(err, flawless.Damaged) || errors.Is(err, flawless.NotFound) {
				return newest[0], false, s.KeepBinary(ctx, l, m.Digest, bin)
			}
			return newest[0], false, nil
		}
		m.Version = newest[0].Version + 1
	}
	err = s.underAny(ctx, l, func(d *draft) error {
		if err := change(s.codec, d, key.Version.Key().Text(m.Name).Number(uint64(m.Version)), nil, &m); err != nil {
			return err
		}
		if err := c.change(s, d, nil); err != nil {
			return err
		}
		return d.setBinary(s.codec, m.Digest, bin)
	})
	return m, true, err
}

// Module returns all versions of a module, newest first, or [flawless.NotFound].
func (s *Store) Module(ctx context.Context, name string) ([]flawless.Module, error) {
	ms, err := s.versions(ctx, name, 0)
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading module %s: %w", name, err)
	case len(ms) == 0:
		return nil, fmt.Errorf("there is no module %s: %w", name, flawless.NotFound)
	}
	return ms, nil
}

// versions returns the newest versions of a module, at most limit unless that is zero.
func (s *Store) versions(ctx context.Context, name string, limit int) ([]flawless.Module, error) {
	r := withPrefix(key.Version.Key().Text(name))
	r.Reverse, r.Limit = true, limit
	var ms []flawless.Module
	for item, err := range s.kv.Scan(ctx, r) {
		if err != nil {
			return nil, err
		}
		m, err := s.version(item)
		if err != nil {
			return nil, err
		}
		ms = append(ms, m)
	}
	return ms, nil
}

func (s *Store) version(item Item) (flawless.Module, error) {
	var m flawless.Module
	if err := s.codec.Decode(item.Value, &m); err != nil {
		return m, fmt.Errorf("key %q: %w", item.Key, err)
	}
	return m, nil
}

// Modules returns the newest version of each module, sorted by name.
func (s *Store) Modules(ctx context.Context) ([]flawless.Module, error) {
	var ms []flawless.Module
	r := withPrefix(key.Version.Key())
	for {
		m, found, err := s.firstModule(ctx, r)
		if err != nil {
			return nil, fmt.Errorf("listing modules: %w", err)
		}
		if !found {
			return ms, nil
		}
		newest, err := s.versions(ctx, m.Name, 1)
		if err != nil {
			return nil, fmt.Errorf("listing modules: %w", err)
		}
		ms = append(ms, newest...)
		r.From = key.Version.Key().Text(m.Name).Number(math.MaxUint64)
	}
}

func (s *Store) firstModule(ctx context.Context, r Range) (m flawless.Module, found bool, err error) {
	r.Limit = 1
	for item, err := range s.kv.Scan(ctx, r) {
		if err != nil {
			return m, false, err
		}
		m, err = s.version(item)
		return m, err == nil, err
	}
	return m, false, nil
}

// Binary returns the bytes of a module by its digest. It returns [flawless.NotFound], or [flawless.Damaged] if they
// cannot be read; AddModule and KeepBinary write them again.
func (s *Store) Binary(ctx context.Context, digest string) ([]byte, error) {
	var bin []byte
	k := key.Binary.Key().Text(digest)
	// Read key by key: this finds rows that were written again before the damaged ones below them, which a scan
	// would run into.
	for n := uint64(0); ; n++ {
		piece, err := s.kv.Get(ctx, slices.Clone(k).Number(n))
		if n > 0 && errors.Is(err, flawless.NotFound) { // the last piece was full
			return bin, nil
		}
		if err == nil {
			piece, err = s.codec.Open(piece)
		}
		if err != nil {
			return nil, reading(k, err, "the bytes of module %s", digest)
		}
		if bin = append(bin, piece...); len(piece) < binaryPiece {
			return bin, nil
		}
	}
}

// binaryPiece is the number of bytes of a module under one key. For each key, a database reads the whole block, and
// the keys next to a module are read all the time.
const binaryPiece = 32 << 10

func (d *draft) setBinary(c codec.Codec, digest string, bin []byte) error {
	for n := uint64(0); ; n++ {
		size := min(len(bin), binaryPiece)
		if err := d.setRaw(c, key.Binary.Key().Text(digest).Number(n), bin[:size]); err != nil {
			return err
		}
		if bin = bin[size:]; len(bin) == 0 {
			return nil
		}
	}
}

// KeepBinary stores the bytes of a module under their digest, but not as a version of a module: for imported runs. It
// returns [flawless.Fenced] if l owns no shard. A crash in the middle leaves all bytes or none.
func (s *Store) KeepBinary(ctx context.Context, l *Lease, digest string, bin []byte) error {
	err := s.underAny(ctx, l, func(d *draft) error { return d.setBinary(s.codec, digest, bin) })
	if err != nil {
		return fmt.Errorf("storing the bytes of module %.12s: %w", digest, err)
	}
	return nil
}

// RemoveModule removes a version of a module, and its bytes unless another version of a module has the same ones. mark
// reserves them, see [Store.Reserve]; it is nil if no other server uses the database. It returns [flawless.NotFound] if there is no such version, [flawless.Conflict] if it
// is removed concurrently or the mark is gone, and [flawless.Fenced] if l owns no shard. A crash in the middle leaves the
// version with its bytes, or neither.
func (s *Store) RemoveModule(ctx context.Context, l *Lease, name string, version int, mark *Mark) error {
	for {
		c, err := s.catalog(ctx)
		if err == nil && mark != nil && !slices.ContainsFunc(c.row.Marks, func(m Mark) bool { return m.ID == mark.ID }) {
			err = fmt.Errorf("another server has taken over: %w", flawless.Conflict)
		}
		if err == nil {
			err = s.removeModule(ctx, l, name, version, c)
			if errors.Is(err, flawless.Conflict) {
				now, failed := s.catalog(ctx)
				if failed == nil && !now.Same(c) { // the conflict is about another module
					continue
				}
			}
		}
		if err != nil {
			return fmt.Errorf("removing module %s, version %d: %w", name, version, err)
		}
		return nil
	}
}

func (s *Store) removeModule(ctx context.Context, l *Lease, name string, version int, c *Catalog) error {
	k := key.Version.Key().Text(name).Number(uint64(version))
	value, err := s.kv.Get(ctx, k)
	if err != nil {
		return err
	}
	m, err := s.version(Item{Key: k, Value: value})
	if err != nil {
		return err
	}
	used := false
	for item, err := range s.kv.Scan(ctx, withPrefix(key.Version.Key())) {
		if err != nil {
			return err
		}
		other, err := s.version(item)
		if err != nil {
			return err
		}
		used = used || other.Digest == m.Digest && (other.Name != name || other.Version != version)
	}
	pieces := []key.Key{k}
	if !used {
		for item, err := range s.kv.Scan(ctx, withPrefix(key.Binary.Key().Text(m.Digest))) {
			if err != nil {
				return err
			}
			pieces = append(pieces, slices.Clone(item.Key))
		}
	}
	return s.underAny(ctx, l, func(d *draft) error {
		d.batch.Expect = append(d.batch.Expect, Item{Key: k, Value: value})
		for _, k := range pieces {
			d.delete(k)
		}
		return c.change(s, d, nil)
	})
}

// HasBinary reports whether the store has the bytes of a module.
func (s *Store) HasBinary(ctx context.Context, digest string) (bool, error) {
	_, err := s.kv.Get(ctx, key.Binary.Key().Text(digest).Number(0))
	if errors.Is(err, flawless.NotFound) {
		return false, nil
	}
	return err == nil, err
}
