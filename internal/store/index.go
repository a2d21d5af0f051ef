package store

import (
	"context"
	"fmt"
	"iter"
)

// index updates the lists that a run is in. It writes only rows that change.
func (d *draft) index(sh Shard, id string, before, after *Head) {
	for _, row := range rows {
		was, is := before != nil && row.has(before), row.has(after)
		if was && is && row.same(before, after) {
			continue
		}
		if was {
			d.delete(row.key(d.list(row, sh), before).text(id))
		}
		if is {
			d.put(row.key(d.list(row, sh), after).text(id))
		}
	}
	d.labels(id, before, after)
}

// list starts the key of a row of a list.
func (d *draft) list(r row, sh Shard) key {
	if k := d.key(r.family); r.owned {
		return k.shard(sh)
	} else {
		return k
	}
}

// row describes a list: which runs it contains, and how they are sorted.
type row struct {
	family family
	owned  bool // only the owner of a shard reads it, so its keys have the shard
	has    func(h *Head) bool
	same   func(a, b *Head) bool // the row does not change
	key    func(k key, h *Head) key
}

var rows = []row{
	{familyCreated, false, always, sameCreated, func(k key, h *Head) key { return k.time(h.Run.Created) }},
	{
		familyStatus, false, always,
		func(a, b *Head) bool { return a.Run.Status == b.Run.Status && sameCreated(a, b) },
		func(k key, h *Head) key { return k.text(string(h.Run.Status)).time(h.Run.Created) },
	},
	{
		familyModule, false, always,
		func(a, b *Head) bool { return a.Run.Module == b.Run.Module && sameCreated(a, b) },
		func(k key, h *Head) key { return k.text(h.Run.Module).time(h.Run.Created) },
	},
	{
		familyWorkflow, false, always,
		func(a, b *Head) bool {
			return a.Run.Module == b.Run.Module && a.Run.Workflow == b.Run.Workflow && a.Run.Status == b.Run.Status && sameCreated(a, b)
		},
		func(k key, h *Head) key {
			return k.text(h.Run.Module).text(h.Run.Workflow).text(string(h.Run.Status)).time(h.Run.Created)
		},
	},
	{
		familyParent, false, func(h *Head) bool { return h.Run.Parent != "" },
		func(a, b *Head) bool { return a.Run.Parent == b.Run.Parent && sameCreated(a, b) },
		func(k key, h *Head) key { return k.text(h.Run.Parent).time(h.Run.Created) },
	},
	{
		familyPlaced, true, func(h *Head) bool { return h.Run.Queue != nil && h.Run.Queue.Key != "" && !h.Run.Status.Ended() },
		func(a, b *Head) bool { return a.Run.Queue.Key == b.Run.Queue.Key },
		func(k key, h *Head) key { return k.text(h.Run.Queue.Key) },
	},
	{familyActive, true, func(h *Head) bool { return h.Active }, func(_, _ *Head) bool { return true }, func(k key, _ *Head) key { return k }},
	{
		familyTimer, true, func(h *Head) bool { return h.Wake != 0 },
		func(a, b *Head) bool { return a.Wake == b.Wake },
		func(k key, h *Head) key { return k.moment(h.Wake) },
	},
}

func always(*Head) bool           { return true }
func sameCreated(a, b *Head) bool { return nanoseconds(a.Run.Created) == nanoseconds(b.Run.Created) }

// Active yields the ids of the runs in some shards that a restart must examine, sorted by shard and then by id. It stops
// after an error.
func (s *Store) Active(ctx context.Context, shards []Shard) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for item, err := range s.perShard(ctx, familyActive, shards) {
			var id string
			if err == nil {
				p := parts{rest: item.Key}
				p.skip(2)
				id = p.text()
				err = p.whole(item.Key)
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
