package store

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"iter"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/flawless-engine/flawless"
)

const (
	pageDefault = 50
	pageMost    = 1000
)

// Runs returns a page of the runs that f selects, newest first (by Created, then by id), and the
// cursor of the next page, which is empty at the end. A page has fewer runs than the limit where
// many others had to be looked at: go on with the cursor. A run that is created or changes while
// somebody turns pages may be on one of them or on none; the others are on exactly one.
//
// It returns [flawless.Invalid] for a cursor that it did not make, an unknown status, a negative
// limit or one above 1000, and for a label that no run can have.
func (s *Store) Runs(ctx context.Context, f flawless.Filter) ([]flawless.Run, string, error) {
	runs, cursor, err := s.page(ctx, f)
	if err != nil {
		return nil, "", fmt.Errorf("listing runs: %w", err)
	}
	return runs, cursor, nil
}

// The work for one page, so that it comes soon whatever the filter is: a step along a list is 1.
const (
	pageWork = 4_000
	readWork = 8 // reading a run that the filter does not select
)

func (s *Store) page(ctx context.Context, f flawless.Filter) ([]flawless.Run, string, error) {
	limit, err := pageLimit(f)
	if err != nil {
		return nil, "", err
	}
	if f.Retrying && len(f.Status) == 0 { // no other run is retrying, and there are lists of these
		f.Status = flawless.OpenStatuses
	}
	before, err := decodeCursor(f.Cursor)
	if err != nil {
		return nil, "", err
	}
	runs := make([]flawless.Run, 0, min(limit, pageDefault))
	var last place // all runs down to here were looked at
	work := 0
	for at, err := range s.newest(ctx, f, before) {
		if err != nil {
			return nil, "", err
		}
		if work >= pageWork {
			return runs, encodeCursor(last), nil
		}
		if !at.met {
			work++
			last = append(last[:0], at.place...)
			continue
		}
		h, err := s.Head(ctx, at.id())
		switch {
		case errors.Is(err, flawless.NotFound): // it was removed meanwhile
		case err != nil:
			return nil, "", err
		case !selects(f, &h.Run):
			work += readWork
		case len(runs) == limit:
			return runs, encodeCursor(last), nil
		default:
			runs = append(runs, h.Run)
		}
		last = append(last[:0], at.place...)
	}
	return runs, "", nil
}

func pageLimit(f flawless.Filter) (int, error) {
	for _, st := range f.Status {
		if !slices.Contains(flawless.Statuses, st) {
			return 0, fmt.Errorf("%q is not a status of a run; use one of %v: %w", st, flawless.Statuses, flawless.Invalid)
		}
	}
	if err := flawless.CheckLabels(f.Labels); err != nil {
		return 0, err
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
	for name, value := range f.Labels {
		if r.Labels[name] != value {
			return false
		}
	}
	return (len(f.Status) == 0 || slices.Contains(f.Status, r.Status)) &&
		(f.Module == "" || f.Module == r.Module) &&
		(f.Workflow == "" || f.Workflow == r.Workflow) &&
		(f.Parent == "" || f.Parent == r.Parent) &&
		(!f.Retrying || len(r.Retrying) > 0) &&
		(f.Since.IsZero() || !r.Created.Before(f.Since)) &&
		(f.Until.IsZero() || r.Created.Before(f.Until))
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
		return nil, fmt.Errorf("the cursor %q did not come from a list; start without a cursor: %w", c, flawless.Invalid)
	}
	return p, nil
}

// step is a place that was come to. Where it was not met in all lists that it has to be in, nothing
// is there for the filter.
type step struct {
	place
	met bool
}

// newest yields the steps along the lists of f, from before (exclusive; nil is the newest) down to
// f.Since. A step is valid until the next one is yielded.
func (s *Store) newest(ctx context.Context, f flawless.Filter, before place) iter.Seq2[step, error] {
	return func(yield func(step, error) bool) {
		ways, err := s.lists(ctx, f, before)
		if err != nil {
			yield(step{}, err)
			return
		}
		var walks []*walk
		defer func() {
			for _, w := range walks {
				w.stop()
			}
		}()
		for _, prefixes := range ways {
			w := &walk{}
			w.next, w.stop = iter.Pull2(s.merged(ctx, prefixes, f, before))
			walks = append(walks, w)
			if !w.advance() {
				if w.err != nil {
					yield(step{}, w.err)
				}
				return
			}
		}
		meet(walks, yield)
	}
}

// walk is a way along some lists.
type walk struct {
	next func() (place, error, bool)
	stop func()
	at   place
	err  error
}

func (w *walk) advance() bool {
	at, err, ok := w.next()
	w.at, w.err = at, err
	return ok && err == nil
}

// meet yields the places to which all walks come, and on the way there those to which some do.
func meet(walks []*walk, yield func(step, error) bool) {
	for {
		first, met := walks[0], true
		for _, w := range walks[1:] {
			c := bytes.Compare(w.at, first.at)
			if met = met && c == 0; c > 0 {
				first = w
			}
		}
		if !yield(step{first.at, met}, nil) {
			return
		}
		for _, w := range walks {
			if (met || w == first) && !w.advance() {
				if w.err != nil {
					yield(step{}, w.err)
				}
				return
			}
		}
	}
}

// merged yields the places of lists in their order. A place is valid until the next one is yielded.
func (s *Store) merged(ctx context.Context, prefixes []key, f flawless.Filter, before place) iter.Seq2[place, error] {
	return func(yield func(place, error) bool) {
		heads := make([]*listHead, len(prefixes))
		defer func() {
			for _, h := range heads {
				h.stop()
			}
		}()
		var begun errgroup.Group // each waits for what is being written, so they wait together
		begun.SetLimit(8)
		for i, prefix := range prefixes {
			h := &listHead{skip: len(prefix)}
			h.next, h.stop = iter.Pull2(s.kv.Scan(ctx, part(prefix, f, before)))
			heads[i] = h
			if len(prefixes) == 1 {
				h.advance()
				continue
			}
			begun.Go(func() error { h.advance(); return nil })
		}
		_ = begun.Wait() // what went wrong is in the heads
		for {
			var top *listHead
			for _, h := range heads {
				if h.more && (top == nil || h.err != nil || bytes.Compare(h.at, top.at) > 0) {
					top = h
				}
			}
			if top == nil || !yield(top.at, top.err) || top.err != nil {
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
	if !f.Until.IsZero() {
		if until := slices.Clone(prefix).time(f.Until); r.To == nil || bytes.Compare(until, r.To) < 0 {
			r.To = until
		}
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
