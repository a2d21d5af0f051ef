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
	"github.com/flawless-engine/flawless/internal/store/key"
)

const (
	pageDefault = 50
	maxPage     = 1000
)

// Runs returns a page of the runs that f selects, newest first (by Created, then by id), and the cursor of the next
// page, which is empty on the last page. A page may have fewer runs than the limit if many others had to be examined;
// continue with the cursor. A run that is created or changes during the listing is on at most one page; all others are
// on exactly one.
//
// It returns [flawless.Invalid] for an invalid cursor, an unknown status, a limit that is negative or above 1000, or an
// invalid label.
func (s *Store) Runs(ctx context.Context, f flawless.Filter) ([]flawless.Run, string, error) {
	runs, cursor, err := s.page(ctx, f)
	if err != nil {
		return nil, "", fmt.Errorf("listing runs: %w", err)
	}
	return runs, cursor, nil
}

// Limit of the work for one page, so that every filter gets an answer quickly. A step along a list costs 1.
const (
	pageWork = 4_000
	readWork = 8 // cost of reading a run that the filter does not select
)

func (s *Store) page(ctx context.Context, f flawless.Filter) ([]flawless.Run, string, error) {
	limit, err := pageLimit(f)
	if err != nil {
		return nil, "", err
	}
	if f.Retrying && len(f.Status) == 0 { // only open runs can be retrying, and there are lists of them
		f.Status = flawless.OpenStatuses
	}
	before, err := decodeCursor(f.Cursor)
	if err != nil {
		return nil, "", err
	}
	runs := make([]flawless.Run, 0, min(limit, pageDefault))
	var last position // all runs down to here have been examined
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
			last = append(last[:0], at.position...)
			continue
		}
		h, err := s.Head(ctx, at.id())
		switch {
		case errors.Is(err, flawless.NotFound): // removed meanwhile
		case err != nil:
			return nil, "", err
		case !selects(f, &h.Run):
			work += readWork
		case len(runs) == limit:
			return runs, encodeCursor(last), nil
		default:
			runs = append(runs, h.Run)
		}
		last = append(last[:0], at.position...)
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
	case f.Limit < 0 || f.Limit > maxPage:
		return 0, fmt.Errorf("limit %d is not between 1 and %d: %w", f.Limit, maxPage, flawless.Invalid)
	case f.Limit == 0:
		return pageDefault, nil
	}
	return f.Limit, nil
}

// selects reports whether f selects r, apart from cursor and limit.
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

// position is the position of a run, which is the same in every list: created:8 id, as in a key. Newer runs have higher
// positions.
type position []byte

func (p position) id() string {
	ps := key.Split(p, 8)
	return ps.Text()
}

func (p position) check() error {
	ps := key.Split(p, 8)
	ps.Text()
	return ps.Whole(p)
}

func encodeCursor(p position) string { return base64.RawURLEncoding.EncodeToString(p) }

func decodeCursor(c string) (position, error) {
	if c == "" {
		return nil, nil
	}
	p, err := base64.RawURLEncoding.DecodeString(c)
	if err != nil || position(p).check() != nil {
		return nil, fmt.Errorf("the cursor %q did not come from a list; start without a cursor: %w", c, flawless.Invalid)
	}
	return p, nil
}

// step is a position that was reached. The run is selected only if all plans have met there.
type step struct {
	position
	met bool
}

// newest yields the steps along the lists for f, from before (exclusive; nil is the newest) down to f.Since. A step is
// valid until the next one is yielded.
func (s *Store) newest(ctx context.Context, f flawless.Filter, before position) iter.Seq2[step, error] {
	return func(yield func(step, error) bool) {
		plans, err := s.lists(ctx, f, before)
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
		for _, prefixes := range plans {
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

// walk follows a plan.
type walk struct {
	next func() (position, error, bool)
	stop func()
	at   position
	err  error
}

func (w *walk) advance() bool {
	at, err, ok := w.next()
	w.at, w.err = at, err
	return ok && err == nil
}

// meet yields the positions that all walks reach, and in between those that only some reach.
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

// merged yields the positions in several lists in order. A position is valid until the next one is yielded.
func (s *Store) merged(ctx context.Context, prefixes []key.Key, f flawless.Filter, before position) iter.Seq2[position, error] {
	return func(yield func(position, error) bool) {
		heads := make([]*listHead, len(prefixes))
		defer func() {
			for _, h := range heads {
				h.stop()
			}
		}()
		var begun errgroup.Group // each scan waits for running writes, so start them concurrently
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
		_ = begun.Wait() // errors are in the heads
		var last position
		for {
			var top *listHead
			for _, h := range heads {
				if h.more && (top == nil || h.err != nil || bytes.Compare(h.at, top.at) > 0) {
					top = h
				}
			}
			if top == nil {
				return
			}
			// A run that has changed since another list was read is in both.
			if top.err != nil || last == nil || !bytes.Equal(top.at, last) {
				if !yield(top.at, top.err) || top.err != nil {
					return
				}
				last = append(last[:0], top.at...)
			}
			top.advance()
		}
	}
}

// part returns the range of a list that f selects.
func part(prefix key.Key, f flawless.Filter, before position) Range {
	r := withPrefix(prefix)
	r.Reverse = true
	if !f.Since.IsZero() {
		r.From = slices.Clone(prefix).Time(f.Since)
	}
	if before != nil {
		r.To = append(slices.Clone(prefix), before...)
	}
	if !f.Until.IsZero() {
		if until := slices.Clone(prefix).Time(f.Until); r.To == nil || bytes.Compare(until, r.To) < 0 {
			r.To = until
		}
	}
	if bytes.Compare(r.From, r.To) > 0 {
		r.From = r.To
	}
	return r
}

// listHead is the head of one of the lists that are merged.
type listHead struct {
	next func() (Item, error, bool)
	stop func()
	skip int // bytes of a key before the position

	at   position
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
