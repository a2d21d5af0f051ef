package store

import (
	"maps"

	"github.com/flawless-engine/flawless/internal/store/key"
)

// labels updates the lists for the labels of a run.
func (d *draft) labels(id string, before, after *Head) {
	if before != nil && before.Run.Status == after.Run.Status && sameCreated(before, after) && maps.Equal(before.Run.Labels, after.Run.Labels) {
		return
	}
	same := before != nil && before.Run.Status == after.Run.Status && sameCreated(before, after)
	if before != nil {
		for name, value := range before.Run.Labels {
			if !same || after.Run.Labels[name] != value {
				d.delete(keyLabel(d.key(key.Label), name, value, before).Text(id))
			}
		}
	}
	for name, value := range after.Run.Labels {
		if was, has := "", false; before != nil {
			if was, has = before.Run.Labels[name]; has && same && was == value {
				continue
			}
		}
		d.put(keyLabel(d.key(key.Label), name, value, after).Text(id))
	}
}

func keyLabel(k key.Key, name, value string, h *Head) key.Key {
	return k.Text(name).Text(value).Text(string(h.Run.Status)).Time(h.Run.Created)
}
