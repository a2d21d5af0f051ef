package store

import (
	"context"
	"fmt"
	"iter"
)

// index updates the lists that a run is in. It writes only rows that change.
func (d *draft) index(id string, before, after *Head) {
	for _, row := range rows {
		was, is := before != nil && row.has(before), row.has(after)
		if was && is && row.same(before, after) {
			continue
		}
		if was {
			d.delete(row.key(d.key(row.family), before).text(id))
		}
		if is {
			d.put(row.key(d.key(row.family), after).text(id))
		}
	}
	d.labels(id, before, after)
}

// row describes a list: which runs it contains, and how they are sorted.
type row struct {
	family family
	has    func(h *Head) bool
	same   func(a, b *Head) bool // the row does not change
	key    func(k key, h *Head) key
}

var rows = []row{
	{familyCreated, always, sameCreated, func(k key, h *Head) key { return k.time(h.Run.Created) }},
	{
		familyStatus, always,
		func(a, b *Head) bool { return a.Run.Status == b.Run.Status && sameCreated(a, b) },
		func(k key, h *Head) key { return k.text(string(h.Run.Status)).time(h.Run.Created) },
	},
	{
		familyModule, always,
		func(a, b *Head) bool { return a.Run.Module == b.Run.Module && sameCreated(a, b) },
		func(k key, h *Head) key { return k.text(h.Run.Module).time(h.Run.Created) },
	},
	{
		familyWorkflow, always,
		func(a, b *Head) bool {
			return a.Run.Module == b.Run.Module && a.Run.Workflow == b.Run.Workflow && a.Run.Status == b.Run.Status && sameCreated(a, b)
		},
		func(k key, h *Head) key {
			return k.text(h.Run.Module).text(h.Run.Workflow).text(string(h.Run.Status)).time(h.Run.Created)
		},
	},
	{
		familyParent, func(h *Head) bool { return h.Run.Parent != "" },
		func(a, b *Head) bool { return a.Run.Parent == b.Run.Parent && sameCreated(a, b) },
		func(k key, h *Head) key { return k.text(h.Run.Parent).time(h.Run.Created) },
	},
	{
		familyPlaced, func(h *Head) bool { return h.Run.Queue != nil && h.Run.Queue.Key != "" && !h.Run.Status.Ended() },
		func(a, b *Head) bool { return a.Run.Queue.Key == b.Run.Queue.Key },
		func(k key, h *Head) key { return k.text(h.Run.Queue.Key) },
	},
	{familyActive, func(h *Head) bool { return h.Active }, func(_, _ *Head) bool { return true }, func(k key, _ *Head) key { return k }},
	{
		familyTimer, func(h *Head) bool { return h.Wake != 0 },
		func(a, b *Head) bool { return a.Wake == b.Wake },
		func(k key, h *Head) key { return k.moment(h.Wake) },
	},
}

func always(*Head) bool           { return true }
func sameCreated(a, b *Head) bool { return nanoseconds(a.Run.Created) == nanoseconds(b.Run.Created) }

// Active yields the ids of the runs that a restart must examine, sorted. A run that becomes active or stops being so
// meanwhile may be among them. It stops after an error.
func (s *Store) Active(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for item, err := range s.kv.Scan(ctx, key(nil).family(familyActive).all()) {
			var id string
			if err == nil {
				p := parts{rest: item.Key}
				p.skip(1)
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
