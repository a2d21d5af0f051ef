package store

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store/merge"
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
	var last merge.Position // all runs down to here have been examined
	work := 0
	for at, err := range s.newest(ctx, f, before) {
		if err != nil {
			return nil, "", err
		}
		if work >= pageWork {
			return runs, encodeCursor(last), nil
		}
		if !at.Met {
			work++
			last = append(last[:0], at.Position...)
			continue
		}
		if f.Prefix != "" && !strings.HasPrefix(at.ID(), f.Prefix) {
			work++
			last = append(last[:0], at.Position...)
			continue
		}
		h, err := s.Head(ctx, at.ID())
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
		last = append(last[:0], at.Position...)
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
		(f.Text == "" || hasText(r, strings.ToLower(f.Text))) &&
		(f.Since.IsZero() || !r.Created.Before(f.Since)) &&
		(f.Until.IsZero() || r.Created.Before(f.Until))
}

// hasText reports whether what went wrong with a run has a text, which is in lower case.
func hasText(r *flawless.Run, text string) bool {
	has := func(s string) bool { return strings.Contains(strings.ToLower(s), text) }
	return has(r.Problem) || r.Failure != nil && (has(r.Failure.Message) || has(r.Failure.Kind)) ||
		slices.ContainsFunc(r.Unresolved, func(d flawless.Doubt) bool { return has(d.Reason) || has(d.Request) }) ||
		slices.ContainsFunc(r.Retrying, func(c flawless.Retrying) bool { return has(c.Reason) || has(c.Request) })
}

func encodeCursor(p merge.Position) string { return base64.RawURLEncoding.EncodeToString(p) }

func decodeCursor(c string) (merge.Position, error) {
	if c == "" {
		return nil, nil
	}
	p, err := base64.RawURLEncoding.DecodeString(c)
	if err != nil || merge.Position(p).Check() != nil {
		return nil, fmt.Errorf("the cursor %q did not come from a list; start without a cursor: %w", c, flawless.Invalid)
	}
	return p, nil
}

// newest yields the steps along the lists for f, from before (exclusive; nil is the newest) down to f.Since. A step is valid
// until the next one is yielded.
func (s *Store) newest(ctx context.Context, f flawless.Filter, before merge.Position) iter.Seq2[merge.Step, error] {
	plans, err := s.lists(ctx, f, before)
	if err != nil {
		return func(yield func(merge.Step, error) bool) { yield(merge.Step{}, err) }
	}
	return merge.Newest(ctx, s.kv.Scan, plans, merge.Within{Since: f.Since, Until: f.Until, Before: before})
}
