package store

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"iter"
	"slices"

	"github.com/flawless-engine/flawless"
)

const (
	pageDefault = 50
	pageMost    = 1000
)

// Runs returns a page of the runs that f selects, newest first (by Created, then by id), and the
// cursor of the next page, which is empty at the end. A run that is created or changes while
// somebody turns pages may be on one of them or on none; the others are on exactly one.
//
// It returns [flawless.Invalid] for a cursor that it did not make, an unknown status, a negative
// limit or one above 1000.
func (s *Store) Runs(ctx context.Context, f flawless.Filter) ([]flawless.Run, string, error) {
	runs, cursor, err := s.page(ctx, f)
	if err != nil {
		return nil, "", fmt.Errorf("listing runs: %w", err)
	}
	return runs, cursor, nil
}

func (s *Store) page(ctx context.Context, f flawless.Filter) ([]flawless.Run, string, error) {
	limit, err := pageLimit(f)
	if err != nil {
		return nil, "", err
	}
	before, err := decodeCursor(f.Cursor)
	if err != nil {
		return nil, "", err
	}
	runs := make([]flawless.Run, 0, min(limit, pageDefault))
	var last place
	for at, err := range s.newest(ctx, f, before) {
		if err != nil {
			return nil, "", err
		}
		h, err := s.Head(ctx, at.id())
		if err != nil {
			return nil, "", err
		}
		if !selects(f, &h.Run) {
			continue
		}
		if len(runs) == limit {
			return runs, encodeCursor(last), nil
		}
		runs = append(runs, h.Run)
		last = at
	}
	return runs, "", nil
}

func pageLimit(f flawless.Filter) (int, error) {
	for _, st := range f.Status {
		if !slices.Contains(flawless.Statuses, st) {
			return 0, fmt.Errorf("%q is no status of a run: use one of %v: %w", st, flawless.Statuses, flawless.Invalid)
		}
	}
	switch {
	case f.Limit < 0 || f.Limit > pageMost:
		return 0, fmt.Errorf("limit %d is not between 1 and %d: %w", f.Limit, pageMost, flawless.Invalid)
	case f.Limit == 0:
		return pageDefault, nil
	}
	return f.Limit, nil
}

// selects tells whether f selects r, cursor and limit set aside.
func selects(f flawless.Filter, r *flawless.Run) bool {
	return (len(f.Status) == 0 || slices.Contains(f.Status, r.Status)) &&
		(f.Module == "" || f.Module == r.Module) &&
		(f.Workflow == "" || f.Workflow == r.Workflow) &&
		(f.Since.IsZero() || !r.Created.Before(f.Since))
}

// place is where a run stands in every list: created:8 id, as in a key. Newer is higher.
type place []byte

func (p place) id() string {
	ps := parts{rest: p}
	ps.skip(8)
	return ps.text()
}

func (p place) check() error {
	ps := parts{rest: p}
	ps.skip(8)
	ps.text()
	return ps.whole(p)
}

func encodeCursor(p place) string { return base64.RawURLEncoding.EncodeToString(p) }

func decodeCursor(c string) (place, error) {
	if c == "" {
		return nil, nil
	}
	p, err := base64.RawURLEncoding.DecodeString(c)
	if err != nil || place(p).check() != nil {
		return nil, fmt.Errorf("cursor %q is none that a list returned: start without one: %w", c, flawless.Invalid)
	}
	return p, nil
}

// lists returns the beginnings of keys of the lists in which all runs that f selects are, each run
// in one of them: those with the fewest others.
func lists(f flawless.Filter) []key {
	ended := slices.ContainsFunc(f.Status, flawless.Status.Ended)
	switch {
	case len(f.Status) > 0 && (f.Module == "" || !ended):
		var ks []key
		for _, st := range f.Status {
			ks = append(ks, key(nil).family(familyStatus).text(string(st)))
		}
		slices.SortFunc(ks, func(a, b key) int { return bytes.Compare(a, b) })
		return slices.CompactFunc(ks, func(a, b key) bool { return bytes.Equal(a, b) })
	case f.Module != "":
		return []key{key(nil).family(familyModule).text(f.Module)}
	}
	return []key{key(nil).family(familyCreated)}
}

// newest merges the lists of f: places from before (exclusive; nil is the newest) down to f.Since.
// A place is valid until the next one is yielded, but for the id in it.
func (s *Store) newest(ctx context.Context, f flawless.Filter, before place) iter.Seq2[place, error] {
	return func(yield func(place, error) bool) {
		var heads []*listHead
		defer func() {
			for _, h := range heads {
				h.stop()
			}
		}()
		for _, prefix := range lists(f) {
			h := &listHead{skip: len(prefix)}
			h.next, h.stop = iter.Pull2(s.kv.Scan(ctx, part(prefix, f, before)))
			heads = append(heads, h)
			h.advance()
		}
		for {
			var top *listHead
			for _, h := range heads {
				if h.more && (top == nil || h.err != nil || bytes.Compare(h.at, top.at) > 0) {
					top = h
				}
			}
			if top == nil || !yield(slices.Clone(top.at), top.err) || top.err != nil {
				return
			}
			top.advance()
		}
	}
}

// part is the range of a list that f selects.
func part(prefix key, f flawless.Filter, before place) Range {
	r := prefix.all()
	r.Reverse = true
	if !f.Since.IsZero() {
		r.From = slices.Clone(prefix).time(f.Since)
	}
	if before != nil {
		r.To = append(slices.Clone(prefix), before...)
	}
	if bytes.Compare(r.From, r.To) > 0 {
		r.From = r.To
	}
	return r
}

// listHead is one of several lists that are merged.
type listHead struct {
	next func() (Item, error, bool)
	stop func()
	skip int // bytes of a key before the place

	at   place
	err  error
	more bool
}

func (h *listHead) advance() {
	item, err, ok := h.next()
	h.more, h.err = ok, err
	if !ok || err != nil {
		return
	}
	h.at = append(h.at[:0], item.Key[min(h.skip, len(item.Key)):]...)
	if h.at.check() != nil {
		h.err = fmt.Errorf("key %q is not one of this format: %w", item.Key, flawless.Damaged)
	}
}
