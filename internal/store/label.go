package store

import "maps"

const (
	familyLabel    family = 'L'
	familyParent   family = 'P'
	familyWorkflow family = 'w'
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
				d.delete(keyLabel(d.key(familyLabel), name, value, before).text(id))
			}
		}
	}
	for name, value := range after.Run.Labels {
		if was, has := "", false; before != nil {
			if was, has = before.Run.Labels[name]; has && same && was == value {
				continue
			}
		}
		d.put(keyLabel(d.key(familyLabel), name, value, after).text(id))
	}
}

func keyLabel(k key, name, value string, h *Head) key {
	return k.text(name).text(value).text(string(h.Run.Status)).time(h.Run.Created)
}
