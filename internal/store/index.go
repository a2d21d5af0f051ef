package store

import (
	"context"
	"fmt"
	"iter"

	"github.com/flawless-engine/flawless/internal/store/key"
	"github.com/flawless-engine/flawless/internal/store/kv"
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
