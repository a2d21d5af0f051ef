package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store/key"
	"github.com/flawless-engine/flawless/internal/store/kv"
	"github.com/flawless-engine/flawless/internal/store/reindex"
)

// index updates the lists that a run is in. It writes only rows that change.
func (d *draft) index(sh Shard, id string, before, after *Head) {
	for _, row := range rows {
		was, is := before != nil && row.has(before), row.has(after)
		if was && is && row.same(before, after) {
			continue
		}
		if was {
			d.delete(row.key(d.list(row, sh), before).Text(id))
		}
		if is {
			d.put(row.key(d.list(row, sh), after).Text(id))
		}
	}
	d.labels(id, before, after)
}

// list starts the key of a row of a list.
func (d *draft) list(r row, sh Shard) key.Key {
	if k := d.key(r.family); r.owned {
		return k.Shard(sh)
	} else {
		return k
	}
}

// row describes a list: which runs it contains, and how they are sorted.
type row struct {
	family key.Family
	owned  bool // only the owner of a shard reads it, so its keys have the shard
	has    func(h *Head) bool
	same   func(a, b *Head) bool // the row does not change
	key    func(k key.Key, h *Head) key.Key
}

var rows = []row{
	{key.Created, false, always, sameCreated, func(k key.Key, h *Head) key.Key { return k.Time(h.Run.Created) }},
	{
		key.Status, false, always,
		func(a, b *Head) bool { return a.Run.Status == b.Run.Status && sameCreated(a, b) },
		func(k key.Key, h *Head) key.Key { return k.Text(string(h.Run.Status)).Time(h.Run.Created) },
	},
	{
		key.Module, false, always,
		func(a, b *Head) bool { return a.Run.Module == b.Run.Module && sameCreated(a, b) },
		func(k key.Key, h *Head) key.Key { return k.Text(h.Run.Module).Time(h.Run.Created) },
	},
	{
		key.Workflow, false, always,
		func(a, b *Head) bool {
			return a.Run.Module == b.Run.Module && a.Run.Workflow == b.Run.Workflow && a.Run.Status == b.Run.Status && sameCreated(a, b)
		},
		func(k key.Key, h *Head) key.Key {
			return k.Text(h.Run.Module).Text(h.Run.Workflow).Text(string(h.Run.Status)).Time(h.Run.Created)
		},
	},
	{
		key.Parent, false, func(h *Head) bool { return h.Run.Parent != "" },
		func(a, b *Head) bool { return a.Run.Parent == b.Run.Parent && sameCreated(a, b) },
		func(k key.Key, h *Head) key.Key { return k.Text(h.Run.Parent).Time(h.Run.Created) },
	},
	{
		key.Placed, true, func(h *Head) bool { return h.Run.Queue != nil && h.Run.Queue.Key != "" && !h.Run.Status.Ended() },
		func(a, b *Head) bool { return a.Run.Queue.Key == b.Run.Queue.Key },
		func(k key.Key, h *Head) key.Key { return k.Text(h.Run.Queue.Key) },
	},
	{key.Active, true, func(h *Head) bool { return h.Active }, func(_, _ *Head) bool { return true }, func(k key.Key, _ *Head) key.Key { return k }},
	{
		key.Timer, true, func(h *Head) bool { return h.Wake != 0 },
		func(a, b *Head) bool { return a.Wake == b.Wake },
		func(k key.Key, h *Head) key.Key { return k.Moment(h.Wake) },
	},
}

func always(*Head) bool { return true }
func sameCreated(a, b *Head) bool {
	return key.Nanoseconds(a.Run.Created) == key.Nanoseconds(b.Run.Created)
}

// Active yields the ids of the runs in some shards that a restart must examine, sorted by shard and then by id. A run
// that becomes active or stops being so meanwhile may be among them. It stops after an error.
func (s *Store) Active(ctx context.Context, shards []Shard) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for item, err := range kv.Shards(ctx, s.kv, key.Active, shards) {
			var id string
			if err == nil {
				p := key.SplitOwned(item.Key)
				id = p.Text()
				err = p.Whole(item.Key)
			}
			if err != nil {
				yield("", fmt.Errorf("listing active runs: %w", err))
				return
			}
			if !yield(id, nil) {
				return
			}
		}
	}
}

// reindexed returns a database whose indexes are rebuilt when they cannot be read. They belong to a generation.
func (s *Store) reindexed(kv KV, generation uint64) *reindex.KV {
	return reindex.New(kv, reindex.Rows{
		Index: func(head []byte) ([]Item, error) {
			var h Head
			if err := s.codec.Decode(head, &h); err != nil {
				return nil, err
			}
			d := new(draft)
			d.index(ShardOf(h.Run.ID), h.Run.ID, nil, &h)
			return d.batch.Set, nil
		},
		Generation: func(n uint64) (Item, error) {
			d := new(draft)
			if err := d.setRaw(s.codec, key.Generation.Key(), binary.BigEndian.AppendUint64(nil, n)); err != nil {
				return Item{}, err
			}
			return d.batch.Set[0], nil
		},
		Totals: func() reindex.Totals { return totals{s, s.tally.NewTotals()} },
		Pause:  s.tally.Pause,
	}, generation)
}

// generation returns the current generation of the indexes.
func (s *Store) generation(ctx context.Context) (uint64, error) {
	payload, err := s.getRaw(ctx, key.Generation.Key(), "the generation of the indexes")
	switch {
	case errors.Is(err, flawless.NotFound):
		return 0, nil
	case err != nil:
		return 0, err
	case len(payload) != 8:
		return 0, fmt.Errorf("the generation of the indexes has %d bytes: %w", len(payload), flawless.Damaged)
	}
	return binary.BigEndian.Uint64(payload), nil
}

// Damage returns the first damage that was found since the store was opened, or "". It remains after indexes and
// modules were written again, because the damaged file is still there.
func (s *Store) Damage() string { return s.kv.Damage() }
