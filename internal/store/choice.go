package store

import (
	"context"
	"slices"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store/key"
	"github.com/flawless-engine/flawless/internal/store/merge"
)

// Every run is in several lists. For a filter, there can be several plans to find the runs that it selects. A plan is a
// set of lists that together contain all of these runs, each run in exactly one list. If several plans are followed, a
// selected run is found by all of them.

// shortPlan is the maximum length of a plan that is followed without any other.
const shortPlan = 200

// lists returns the plans to follow, as the key prefixes of their lists.
func (s *Store) lists(ctx context.Context, f flawless.Filter, before merge.Position) ([][]key.Key, error) {
	plans, err := s.plans(ctx, f)
	if err != nil || len(plans) == 1 {
		return plans, err
	}
	for i, prefixes := range plans {
		n, err := s.length(ctx, prefixes, f, before)
		if err != nil {
			return nil, err
		}
		if n <= shortPlan {
			return plans[i : i+1], nil
		}
	}
	return plans, nil
}

// plans returns all plans for a filter.
func (s *Store) plans(ctx context.Context, f flawless.Filter) (all [][]key.Key, err error) {
	statuses := slices.Clone(f.Status)
	if len(statuses) == 0 {
		statuses = slices.Clone(flawless.Statuses)
	}
	slices.Sort(statuses)
	statuses = slices.Compact(statuses)
	by := func(prefix key.Key) (ks []key.Key) {
		for _, st := range statuses {
			ks = append(ks, slices.Clone(prefix).Text(string(st)))
		}
		return ks
	}
	if f.Parent != "" {
		all = append(all, []key.Key{key.Parent.Key().Text(f.Parent)})
	}
	for name, value := range f.Labels {
		all = append(all, by(key.Label.Key().Text(name).Text(value)))
	}
	switch {
	case f.Module != "" && f.Workflow == "" && len(f.Status) == 0:
		all = append(all, []key.Key{key.Module.Key().Text(f.Module)})
	case f.Module != "" || f.Workflow != "":
		kinds, err := s.kinds(ctx, f)
		if err != nil {
			return nil, err
		}
		var ks []key.Key
		for _, k := range kinds {
			ks = append(ks, by(k)...)
		}
		all = append(all, ks)
	}
	switch {
	case len(all) > 0:
	case len(f.Status) > 0:
		all = append(all, by(key.Status.Key()))
	default:
		all = append(all, []key.Key{key.Created.Key()})
	}
	return all, nil
}

// kinds returns the key prefixes of the workflows that f selects.
func (s *Store) kinds(ctx context.Context, f flawless.Filter) ([]key.Key, error) {
	if f.Module != "" && f.Workflow != "" {
		return []key.Key{key.Workflow.Key().Text(f.Module).Text(f.Workflow)}, nil
	}
	if f.Module != "" {
		return s.branches(ctx, key.Workflow.Key().Text(f.Module))
	}
	modules, err := s.branches(ctx, key.Workflow.Key())
	var ks []key.Key
	for _, m := range modules {
		k := m.Text(f.Workflow)
		if n, e := s.length(ctx, []key.Key{k}, flawless.Filter{}, nil); e != nil {
			err = e
		} else if n > 0 {
			ks = append(ks, k)
		}
	}
	return ks, err
}

// branches returns the key prefixes that are one text longer than a prefix.
func (s *Store) branches(ctx context.Context, prefix key.Key) ([]key.Key, error) {
	var ks []key.Key
	r := withPrefix(prefix)
	for {
		r.Limit = 1
		var found key.Key
		for item, err := range s.kv.Scan(ctx, r) {
			if err != nil {
				return nil, err
			}
			p := key.Split(item.Key, len(prefix))
			found = slices.Clone(prefix).Text(p.Text())
		}
		if found == nil {
			return ks, nil
		}
		ks = append(ks, found)
		r.From = found.End()
	}
}

// length returns the number of runs in lists. It stops counting above shortPlan.
func (s *Store) length(ctx context.Context, prefixes []key.Key, f flawless.Filter, before merge.Position) (n int, err error) {
	for _, prefix := range prefixes {
		r := merge.Within{Since: f.Since, Until: f.Until, Before: before}.Part(prefix)
		r.Limit = shortPlan + 1 - n
		for _, err := range s.kv.Scan(ctx, r) {
			if err != nil {
				return 0, err
			}
			n++
		}
		if n > shortPlan {
			break
		}
	}
	return n, nil
}
