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
)

// Store keeps the words of the engine in a [KV]. All methods may be called concurrently; the byte
// slices they return are the caller's to keep, those they are given may be used again as soon as
// they return.
//
// An error that wraps none of the codes of package flawless means of a write that nobody knows
// whether it took effect: the caller must read before it goes on. Values that fail their checksum
// or do not decode give [flawless.Damaged] with what was read, its key and what is wrong.
type Store struct {
	kv     *rebuilt
	codec  codec.Codec
	drafts sync.Pool // of *draft
	lease  atomic.Pointer[leaseRow]

	identity atomic.Pointer[flawless.Identity]
}

// Spacer is a [KV] that knows how much space is left.
type Spacer interface {
	// Full tells whether no new work must be taken because space runs out, and why. It never
	// blocks. What is under way may still be written while there is space kept back for it.
	Full() (bool, string)
}

// Failer is a [KV] that can fail as a whole, whether somebody uses it at that moment or not.
type Failer interface {
	// Failed returns why nothing can be written any more until the database is opened anew, or nil.
	// It never blocks.
	Failed() error
}

// Open returns a store that keeps everything in kv, and owns kv from then on unless it returns an
// error. It writes the number of the format and an identity into an empty database. It returns
// [flawless.Conflict] for one with a higher number, and [flawless.Damaged] for one that holds
// something else.
func Open(ctx context.Context, kv KV) (*Store, error) {
	c, err := codec.New()
	if err != nil {
		return nil, err
	}
	s := &Store{codec: c}
	s.kv = &rebuilt{KV: kv, store: s}
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
			if err := s.kv.open(ctx); err != nil {
				return nil, fmt.Errorf("opening the store: %w", err)
			}
			return s, nil
		}
	}
}

// Close gives the database back. Nothing may be called after it.
func (s *Store) Close() error { return s.kv.Close() }

// Full tells whether no new work must be taken because space runs out, and why. It never blocks.
func (s *Store) Full() (bool, string) {
	if sp, ok := s.kv.KV.(Spacer); ok {
		return sp.Full()
	}
	return false, ""
}

// Failed returns why nothing can be written any more until the database is opened anew, or nil. It
// never blocks.
func (s *Store) Failed() error {
	if f, ok := s.kv.KV.(Failer); ok {
		return f.Failed()
	}
	return nil
}

// checkFormat returns Fenced where somebody else has just written the format.
func (s *Store) checkFormat(ctx context.Context) error {
	value, err := s.kv.Get(ctx, keyFormat())
	switch {
	case errors.Is(err, flawless.NotFound):
		return s.writeFormat(ctx)
	case err != nil:
		return err
	case s.codec.Check(value) != nil:
		return fmt.Errorf("reading its format number (key %q): %w", keyFormat(), s.codec.Check(value))
	case value[0] > flawless.LogFormat:
		return fmt.Errorf("the database has format %d, this version of flawless (%s) knows formats up to %d: use a newer one: %w",
			value[0], flawless.Version, flawless.LogFormat, flawless.Conflict)
	}
	return nil
}

func (s *Store) writeFormat(ctx context.Context) error {
	for item, err := range s.kv.Scan(ctx, Range{Limit: 1}) {
		if err != nil {
			return err
		}
		if bytes.Equal(item.Key, keyFormat()) {
			return flawless.Fenced
		}
		return fmt.Errorf("it has no format number but holds keys such as %q: this is not a database of flawless: %w", item.Key, flawless.Damaged)
	}
	d := s.draft()
	defer s.release(d)
	d.absent(keyFormat())
	if err := d.setRaw(s.codec, keyFormat(), nil); err != nil {
		return err
	}
	now := time.Now()
	if err := d.set(s.codec, keyIdentity(), flawless.Identity{ID: flawless.NewStoreID(now), Made: now}); err != nil {
		return err
	}
	return s.kv.Apply(ctx, &d.batch)
}

// get fills v from the value under k. what names it in errors.
func (s *Store) get(ctx context.Context, k key, v any, what string, args ...any) error {
	value, err := s.kv.Get(ctx, k)
	if err == nil {
		err = s.codec.Decode(value, v)
	}
	return reading(k, err, what, args...)
}

// getRaw returns the bytes kept as they are under k.
func (s *Store) getRaw(ctx context.Context, k key, what string, args ...any) ([]byte, error) {
	value, err := s.kv.Get(ctx, k)
	if err == nil {
		value, err = s.codec.Open(value)
	}
	return value, reading(k, err, what, args...)
}

// reading says what was being read when err came.
func reading(k key, err error, what string, args ...any) error {
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
