package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store/key"
)

// rebuilt is a KV that rebuilds the indexes from the heads of the runs if they cannot be read. The new rows belong to
// the next generation and have other keys, because damaged rows can be neither read nor removed. A crash in the middle
// leaves the old generation, or the complete new one.
//
// It also remembers the first damage that was found.
type rebuilt struct {
	KV
	store *Store

	mu         sync.RWMutex // read-locked by each Apply, locked while indexes are rebuilt
	generation atomic.Uint64
	damage     atomic.Pointer[string]
}

// prefix returns the prefix of the keys of indexes.
func (kv *rebuilt) prefix() key.Key { return prefixOf(kv.generation.Load()) }

func prefixOf(generation uint64) key.Key {
	if generation == 0 {
		return nil
	}
	return key.Rebuilt.Key().Number(generation)
}

// open reads the current generation.
func (kv *rebuilt) open(ctx context.Context) error {
	payload, err := kv.store.getRaw(ctx, key.Generation.Key(), "the generation of the indexes")
	switch {
	case errors.Is(err, flawless.NotFound):
		return nil
	case err != nil:
		return err
	case len(payload) != 8:
		return fmt.Errorf("the generation of the indexes has %d bytes: %w", len(payload), flawless.Damaged)
	}
	kv.generation.Store(binary.BigEndian.Uint64(payload))
	return nil
}

// note remembers damage.
func (kv *rebuilt) note(err error) error {
	if errors.Is(err, flawless.Damaged) {
		text := err.Error()
		kv.damage.CompareAndSwap(nil, &text)
	}
	return err
}

// Get implements KV.
func (kv *rebuilt) Get(ctx context.Context, k []byte) ([]byte, error) {
	value, err := kv.KV.Get(ctx, k)
	return value, kv.note(err)
}

// Scan implements KV. If a range of an index is damaged, it rebuilds the index and continues after the last item.
func (kv *rebuilt) Scan(ctx context.Context, r Range) iter.Seq2[Item, error] {
	if !key.IsIndex(r.From) {
		return func(yield func(Item, error) bool) {
			for item, err := range kv.KV.Scan(ctx, r) {
				if !yield(item, kv.note(err)) {
					return
				}
			}
		}
	}
	return func(yield func(Item, error) bool) {
		for {
			generation := kv.generation.Load()
			last, stopped, err := kv.scanIndex(ctx, generation, r, yield)
			if stopped || err == nil {
				return
			}
			if !errors.Is(kv.note(err), flawless.Damaged) || kv.rebuild(context.WithoutCancel(ctx), generation) != nil {
				yield(Item{}, err)
				return
			}
			switch {
			case last == nil:
			case r.Reverse:
				r.To = last
			default:
				r.From = append(last, 0)
			}
		}
	}
}

// scanIndex yields a range of an index in a generation. It returns the last key that was yielded.
func (kv *rebuilt) scanIndex(ctx context.Context, generation uint64, r Range, yield func(Item, error) bool) (last []byte, stopped bool, err error) {
	prefix := prefixOf(generation)
	there := r
	there.From, there.To = slices.Concat(prefix, r.From), slices.Concat(prefix, r.To)
	for item, err := range kv.KV.Scan(ctx, there) {
		if err != nil {
			return last, false, err
		}
		item.Key = item.Key[len(prefix):]
		last = append(last[:0], item.Key...)
		if !yield(item, nil) {
			return nil, true, nil
		}
	}
	return nil, false, nil
}

// Apply implements KV.
func (kv *rebuilt) Apply(ctx context.Context, b *Batch) error {
	_, err := kv.applyAt(ctx, b)
	return err
}

// applyAt is Apply that returns the position of the batch, if the database is [Numbered].
func (kv *rebuilt) applyAt(ctx context.Context, b *Batch) (at Position, err error) {
	kv.mu.RLock()
	defer kv.mu.RUnlock()
	if prefix := kv.prefix(); prefix != nil {
		b = moved(b, prefix)
	}
	if n, ok := kv.KV.(Numbered); ok {
		at, err = n.ApplyAt(ctx, b)
	} else {
		err = kv.KV.Apply(ctx, b)
	}
	return at, kv.note(err)
}

// moved returns a batch whose keys of indexes have a prefix.
func moved(b *Batch, prefix key.Key) *Batch {
	m := &Batch{Expect: b.Expect, Set: slices.Clone(b.Set), Delete: slices.Clone(b.Delete)}
	for i, item := range m.Set {
		if key.IsIndex(item.Key) {
			m.Set[i].Key = slices.Concat(prefix, item.Key)
		}
	}
	for i, k := range m.Delete {
		if key.IsIndex(k) {
			m.Delete[i] = slices.Concat(prefix, k)
		}
	}
	return m
}

// rowsAtOnce is the number of runs that are indexed in one write.
const rowsAtOnce = 500

// rebuild rebuilds all indexes, unless the current generation is a later one. It blocks all writes meanwhile. If the
// head of a run cannot be read, it changes nothing, because the run would be lost.
func (kv *rebuilt) rebuild(ctx context.Context, generation uint64) error {
	kv.mu.Lock()
	defer kv.mu.Unlock()
	if kv.generation.Load() != generation {
		return nil
	}
	next, err := kv.unused(ctx, generation+1)
	if err != nil {
		return err
	}
	d, n := kv.store.draft(), 0
	write := func() error {
		defer func() {
			kv.store.release(d)
			d, n = kv.store.draft(), 0
		}()
		return kv.KV.Apply(ctx, moved(&d.batch, prefixOf(next)))
	}
	for item, err := range kv.KV.Scan(ctx, withPrefix(key.Head.Key())) {
		var h Head
		if err == nil {
			err = kv.store.codec.Decode(item.Value, &h)
		}
		if err != nil {
			return err
		}
		d.index(ShardOf(h.Run.ID), h.Run.ID, nil, &h)
		if n++; n == rowsAtOnce {
			if err := write(); err != nil {
				return err
			}
		}
	}
	if err := d.setRaw(kv.store.codec, key.Generation.Key(), binary.BigEndian.AppendUint64(nil, next)); err != nil {
		return err
	}
	if err := write(); err != nil {
		return err
	}
	kv.generation.Store(next)
	return nil
}

// unused returns the first generation from the given one on without rows: an earlier rebuild may be incomplete.
func (kv *rebuilt) unused(ctx context.Context, generation uint64) (uint64, error) {
	for ; ; generation++ {
		r := withPrefix(prefixOf(generation))
		r.Limit = 1
		used := false
		for _, err := range kv.KV.Scan(ctx, r) {
			if err != nil {
				return 0, err
			}
			used = true
		}
		if !used {
			return generation, nil
		}
	}
}

// Damage returns the first damage that was found since the store was opened, or "". It remains after indexes and
// modules were written again, because the damaged file is still there.
func (s *Store) Damage() string {
	if text := s.kv.damage.Load(); text != nil {
		return *text
	}
	return ""
}
