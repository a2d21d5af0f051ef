package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store/codec"
	"github.com/flawless-engine/flawless/internal/store/key"
	"github.com/flawless-engine/flawless/internal/store/reindex"
	"github.com/flawless-engine/flawless/internal/store/tally"
)

// Store stores the data of the engine in a [KV]. All methods may be called concurrently. The caller owns the byte slices
// that they return, and may reuse those that it passes as soon as they return.
//
// If a write returns an error that wraps none of the codes of package flawless, it is unknown whether it took effect,
// and the caller must read to find out. For values that have a wrong checksum or cannot be decoded, methods return
// [flawless.Damaged] with the key and the reason.
type Store struct {
	kv     *reindex.KV
	codec  codec.Codec
	drafts sync.Pool // of *draft
	tally  *tally.Book

	identity atomic.Pointer[flawless.Identity]
	floor    atomic.Uint64 // see ClaimAbove
	rivals   atomic.Pointer[Rivals]
}

// Spacer is a [KV] that monitors the space that is left.
type Spacer interface {
	// Full reports whether no new work may be accepted because space runs out, and why. It never blocks. There is
	// a reserve for writes of work that is in progress.
	Full() (bool, string)
}

// Failer is a [KV] that can fail as a whole, even while it is not used.
type Failer interface {
	// Failed returns why nothing can be written until the database is opened again, or nil. It never blocks.
	Failed() error
}

// KeyFormat is the number of the key layout, which the row of the format has in its envelope. Format 1 had no shards.
const KeyFormat = 2

// Open returns a store in kv, and owns kv unless it returns an error. It initialises an empty database with a format
// number and an identity. It returns [flawless.Conflict] if the database has another format number or its contents were
// moved to another one, and [flawless.Damaged] if it contains something else.
func Open(ctx context.Context, kv KV) (*Store, error) {
	c, err := codec.New()
	if err != nil {
		return nil, err
	}
	s := &Store{codec: c}
	s.tally = tally.New(func() tally.KV { return s.kv }, c)
	s.kv = s.reindexed(kv, 0)
	s.drafts.New = func() any { return new(draft) }
	for {
		err := s.checkFormat(ctx)
		if !errors.Is(err, flawless.Fenced) {
			if err == nil {
				err = s.identify(ctx)
			}
			if err != nil {
				return nil, fmt.Errorf("opening the store: %w", err)
			}
			generation, err := s.generation(ctx)
			if err != nil {
				return nil, fmt.Errorf("opening the store: %w", err)
			}
			s.kv = s.reindexed(kv, generation)
			return s, nil
		}
	}
}

// Close closes the database. No method may be called afterwards.
func (s *Store) Close() error { return s.kv.Close() }

// Full reports whether no new work may be accepted because space runs out, and why. It never blocks.
func (s *Store) Full() (bool, string) {
	if sp, ok := s.kv.KV.(Spacer); ok {
		return sp.Full()
	}
	return false, ""
}

// Failed returns why nothing can be written until the database is opened again, or nil. It never blocks.
func (s *Store) Failed() error {
	if f, ok := s.kv.KV.(Failer); ok {
		return f.Failed()
	}
	return nil
}

// checkFormat returns [flawless.Fenced] if the format was written concurrently.
func (s *Store) checkFormat(ctx context.Context) error {
	switch t, _, err := TransferOf(ctx, s.kv.KV); {
	case err != nil:
		return err
	case t != nil:
		return t.Err()
	}
	value, err := s.kv.Get(ctx, key.Format.Key())
	switch {
	case errors.Is(err, flawless.NotFound):
		return s.writeFormat(ctx)
	case err != nil:
		return err
	case s.codec.Check(value) != nil:
		return fmt.Errorf("reading its format number (key %q): %w", key.Format.Key(), s.codec.Check(value))
	case value[0] > KeyFormat:
		return fmt.Errorf("the database has key format %d, but this version of flawless (%s) only knows format %d: use a newer version: %w",
			value[0], flawless.Version, KeyFormat, flawless.Conflict)
	case value[0] < KeyFormat:
		return fmt.Errorf("the database has key format %d, but this version of flawless (%s) only knows format %d and cannot convert it: "+
			"complete its runs with the version that wrote it and export them, then use another --working-dir and import them: %w",
			value[0], flawless.Version, KeyFormat, flawless.Conflict)
	}
	return nil
}

func (s *Store) writeFormat(ctx context.Context) error {
	for item, err := range s.kv.Scan(ctx, Range{Limit: 1}) {
		if err != nil {
			return err
		}
		if bytes.Equal(item.Key, key.Format.Key()) {
			return flawless.Fenced
		}
		return fmt.Errorf("it has no format number, but has keys such as %q, so it is not a database of flawless: %w", item.Key, flawless.Damaged)
	}
	d := s.draft()
	defer s.release(d)
	d.absent(key.Format.Key())
	if err := s.codec.AppendFormat(&d.text, KeyFormat); err != nil {
		return err
	}
	d.batch.Set = append(d.batch.Set, Item{Key: d.keep(key.Format.Key()), Value: d.since(0)})
	now := time.Now()
	if err := d.set(s.codec, key.Identity.Key(), flawless.Identity{ID: flawless.NewStoreID(now), Made: now}); err != nil {
		return err
	}
	return s.kv.Apply(ctx, &d.batch)
}

// get decodes the value of k into v. what is its name in errors.
func (s *Store) get(ctx context.Context, k key.Key, v any, what string, args ...any) error {
	value, err := s.kv.Get(ctx, k)
	if err == nil {
		err = s.codec.Decode(value, v)
	}
	return reading(k, err, what, args...)
}

// getRaw returns the value of k, which is not encoded.
func (s *Store) getRaw(ctx context.Context, k key.Key, what string, args ...any) ([]byte, error) {
	value, err := s.kv.Get(ctx, k)
	if err == nil {
		value, err = s.codec.Open(value)
	}
	return value, reading(k, err, what, args...)
}

// reading adds to an error what was being read.
func reading(k key.Key, err error, what string, args ...any) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, flawless.NotFound):
		return fmt.Errorf("there is no %s: %w", fmt.Sprintf(what, args...), flawless.NotFound)
	case errors.Is(err, flawless.Damaged):
		return fmt.Errorf("reading %s (key %q): %w", fmt.Sprintf(what, args...), []byte(k), err)
	}
	return fmt.Errorf("reading %s: %w", fmt.Sprintf(what, args...), err)
}
