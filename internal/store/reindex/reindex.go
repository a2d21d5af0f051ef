// Package reindex rebuilds the indexes of a database from the heads of its runs when they cannot be read. It hides that
// rebuilt rows have other keys, and knows nothing of what the rows say.
package reindex

import (
	"context"
	"errors"
	"iter"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store/key"
	"github.com/flawless-engine/flawless/internal/store/kv"
)

// Rows makes rows of the database.
type Rows struct {
	// Index returns the rows of all indexes for a run, from its head as stored.
	Index func(head []byte) ([]kv.Item, error)
	// Generation returns the row that says which generation of the indexes is the current one.
	Generation func(n uint64) (kv.Item, error)
	// Totals returns what counts the runs, for rows that are not of one run; nil if there are none.
	Totals func() Totals
	// Pause keeps those from writing whose rows depend on rows that are there already, until resume is called; nil if
	// there are none.
	Pause func() (resume func())
}

// Totals makes rows of all runs.
type Totals interface {
	Add(head []byte) error // takes in a run, from its head as stored
	Rows() ([]kv.Item, error)
}

// KV is a database that rebuilds the indexes from the heads of the runs if they cannot be read. The new rows belong to
// the next generation and have other keys, because damaged rows can be neither read nor removed. A crash in the middle
// leaves the old generation, or the complete new one.
//
// It also remembers the first damage that was found.
type KV struct {
	kv.KV
	rows Rows

	mu         sync.RWMutex // read-locked by each Apply, locked while indexes are rebuilt
	generation atomic.Uint64
	damage     atomic.Pointer[string]
}

// prefix returns the prefix of the keys of indexes.
func (db *KV) prefix() key.Key { return prefixOf(db.generation.Load()) }

func prefixOf(generation uint64) key.Key {
	if generation == 0 {
		return nil
	}
	return key.Rebuilt.Key().Number(generation)
}

// New returns a database whose indexes belong to a generation; 0 is the first one.
func New(on kv.KV, rows Rows, generation uint64) *KV {
	db := &KV{KV: on, rows: rows}
	db.generation.Store(generation)
	return db
}

// CurrentGeneration returns the number of the current generation of the indexes.
func (db *KV) CurrentGeneration() uint64 { return db.generation.Load() }

// Damage returns the first damage that was found, or "".
func (db *KV) Damage() string {
	if text := db.damage.Load(); text != nil {
		return *text
	}
	return ""
}

// Note remembers damage, and returns err.
func (db *KV) Note(err error) error { return db.note(err) }

func (db *KV) note(err error) error {
	if errors.Is(err, flawless.Damaged) {
		text := err.Error()
		db.damage.CompareAndSwap(nil, &text)
	}
	return err
}

// Get implements KV.
func (db *KV) Get(ctx context.Context, k []byte) ([]byte, error) {
	value, err := db.KV.Get(ctx, k)
	return value, db.note(err)
}

// asIs is the context key of [AsIs].
type asIs struct{}

// AsIs returns a context in which [KV.Scan] returns the damage of an index instead of rebuilding all of them. It is for those who
// hold what Rows.Pause waits for.
func AsIs(ctx context.Context) context.Context { return context.WithValue(ctx, asIs{}, true) }

// Scan implements KV. If a range of an index is damaged, it rebuilds the index and continues after the last item.
func (db *KV) Scan(ctx context.Context, r kv.Range) iter.Seq2[kv.Item, error] {
	if !key.IsIndex(r.From) {
		return func(yield func(kv.Item, error) bool) {
			for item, err := range db.KV.Scan(ctx, r) {
				if !yield(item, db.note(err)) {
					return
				}
			}
		}
	}
	return func(yield func(kv.Item, error) bool) {
		for {
			generation := db.generation.Load()
			last, stopped, err := db.scanIndex(ctx, generation, r, yield)
			if stopped || err == nil {
				return
			}
			if !errors.Is(db.note(err), flawless.Damaged) || ctx.Value(asIs{}) != nil || db.rebuild(context.WithoutCancel(ctx), generation) != nil {
				yield(kv.Item{}, err)
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
func (db *KV) scanIndex(ctx context.Context, generation uint64, r kv.Range, yield func(kv.Item, error) bool) (last []byte, stopped bool, err error) {
	prefix := prefixOf(generation)
	there := r
	there.From, there.To = slices.Concat(prefix, r.From), slices.Concat(prefix, r.To)
	for item, err := range db.KV.Scan(ctx, there) {
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
func (db *KV) Apply(ctx context.Context, b *kv.Batch) error {
	_, err := db.ApplyAt(ctx, b)
	return err
}

// ApplyAt is Apply that returns the position of the batch, if the database is [kv.Numbered].
func (db *KV) ApplyAt(ctx context.Context, b *kv.Batch) (at kv.Position, err error) {
	db.mu.RLock()
	defer db.mu.RUnlock()
	if prefix := db.prefix(); prefix != nil {
		b = moved(b, prefix)
	}
	if n, ok := db.KV.(kv.Numbered); ok {
		at, err = n.ApplyAt(ctx, b)
	} else {
		err = db.KV.Apply(ctx, b)
	}
	return at, db.note(err)
}

// moved returns a batch whose keys of indexes have a prefix.
func moved(b *kv.Batch, prefix key.Key) *kv.Batch {
	m := &kv.Batch{Expect: b.Expect, Set: slices.Clone(b.Set), Delete: slices.Clone(b.Delete)}
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
func (db *KV) rebuild(ctx context.Context, generation uint64) error {
	if db.rows.Pause != nil {
		defer db.rows.Pause()()
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.generation.Load() != generation {
		return nil
	}
	next, err := db.unused(ctx, generation+1)
	if err != nil {
		return err
	}
	var b kv.Batch
	var totals Totals
	if db.rows.Totals != nil {
		totals = db.rows.Totals()
	}
	n := 0
	for item, err := range db.KV.Scan(ctx, kv.Range{From: key.Head.Key(), To: key.Head.Key().End()}) {
		var rows []kv.Item
		if err == nil {
			rows, err = db.rows.Index(item.Value)
		}
		if err == nil && totals != nil {
			err = totals.Add(item.Value)
		}
		if err != nil {
			return err
		}
		b.Set = append(b.Set, rows...)
		if n++; n%rowsAtOnce == 0 {
			if err := db.KV.Apply(ctx, moved(&b, prefixOf(next))); err != nil {
				return err
			}
			b.Set = nil
		}
	}
	if totals != nil {
		rows, err := totals.Rows()
		if err != nil {
			return err
		}
		b.Set = append(b.Set, rows...)
	}
	row, err := db.rows.Generation(next)
	if err != nil {
		return err
	}
	b.Set = append(b.Set, row)
	if err := db.KV.Apply(ctx, moved(&b, prefixOf(next))); err != nil {
		return err
	}
	db.generation.Store(next)
	return nil
}

// unused returns the first generation from the given one on without rows: an earlier rebuild may be incomplete.
func (db *KV) unused(ctx context.Context, generation uint64) (uint64, error) {
	for ; ; generation++ {
		prefix := prefixOf(generation)
		r := kv.Range{From: prefix, To: prefix.End(), Limit: 1}
		used := false
		for _, err := range db.KV.Scan(ctx, r) {
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
