package store

import (
	"context"
	"slices"

	"github.com/flawless-engine/flawless"
)

// Every run is in several lists. For a filter there are several ways to find the runs that it
// selects, each of them some lists that have them all, each in one of them. A run that it selects is
// met on every way.

// enough is how much of a way is looked at to see how long it is. A short one needs no other.
const enough = 200

// lists returns the beginnings of the keys of the lists along which to walk, way by way.
func (s *Store) lists(ctx context.Context, f flawless.Filter, before place) ([][]key, error) {
	ways, err := s.ways(ctx, f)
	if err != nil || len(ways) == 1 {
		return ways, err
	}
	for i, prefixes := range ways {
		n, err := s.length(ctx, prefixes, f, before)
		if err != nil {
			return nil, err
		}
		if n <= enough {
			return ways[i : i+1], nil
		}
	}
	return ways, nil
}

// ways returns the ways there are.
func (s *Store) ways(ctx context.Context, f flawless.Filter) (all [][]key, err error) {
	statuses := slices.Clone(f.Status)
	if len(statuses) == 0 {
		statuses = slices.Clone(flawless.Statuses)
	}
	slices.Sort(statuses)
	statuses = slices.Compact(statuses)
	by := func(prefix key) (ks []key) {
		for _, st := range statuses {
			ks = append(ks, slices.Clone(prefix).text(string(st)))
		}
		return ks
	}
	if f.Parent != "" {
		all = append(all, []key{key(nil).family(familyParent).text(f.Parent)})
	}
	for name, value := range f.Labels {
		all = append(all, by(key(nil).family(familyLabel).text(name).text(value)))
	}
	switch {
	case f.Module != "" && f.Workflow == "" && len(f.Status) == 0:
		all = append(all, []key{key(nil).family(familyModule).text(f.Module)})
	case f.Module != "" || f.Workflow != "":
		kinds, err := s.kinds(ctx, f)
		if err != nil {
			return nil, err
		}
		var ks []key
		for _, k := range kinds {
			ks = append(ks, by(k)...)
		}
		all = append(all, ks)
	}
	switch {
	case len(all) > 0:
	case len(f.Status) > 0:
		all = append(all, by(key(nil).family(familyStatus)))
	default:
		all = append(all, []key{key(nil).family(familyCreated)})
	}
	return all, nil
}

// kinds returns the beginnings of the keys of all runs of the workflows that f selects.
func (s *Store) kinds(ctx context.Context, f flawless.Filter) ([]key, error) {
	if f.Module != "" && f.Workflow != "" {
		return []key{key(nil).family(familyWorkflow).text(f.Module).text(f.Workflow)}, nil
	}
	if f.Module != "" {
		return s.branches(ctx, key(nil).family(familyWorkflow).text(f.Module))
	}
	modules, err := s.branches(ctx, key(nil).family(familyWorkflow))
	var ks []key
	for _, m := range modules {
		k := m.text(f.Workflow)
		if n, e := s.length(ctx, []key{k}, flawless.Filter{}, nil); e != nil {
			err = e
		} else if n > 0 {
			ks = append(ks, k)
		}
	}
	return ks, err
}

// branches returns the beginnings of keys that are one text longer than a prefix.
func (s *Store) branches(ctx context.Context, prefix key) ([]key, error) {
	var ks []key
	r := prefix.all()
	for {
		r.Limit = 1
		var found key
		for item, err := range s.kv.Scan(ctx, r) {
			if err != nil {
				return nil, err
			}
			p := parts{rest: item.Key}
			p.skip(len(prefix))
			found = slices.Clone(prefix).text(p.text())
		}
		if found == nil {
			return ks, nil
		}
		ks = append(ks, found)
		r.From = found.end()
	}
}

// length returns how many runs there are in lists, up to a little above enough.
func (s *Store) length(ctx context.Context, prefixes []key, f flawless.Filter, before place) (n int, err error) {
	for _, prefix := range prefixes {
		r := part(prefix, f, before)
		r.Limit = enough + 1 - n
		for _, err := range s.kv.Scan(ctx, r) {
			if err != nil {
				return 0, err
			}
			n++
		}
		if n > enough {
			break
		}
	}
	return n, nil
}
