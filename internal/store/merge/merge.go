// Package merge walks lists of runs that are sorted in the same way: their unions, and where several unions meet. It hides
// how lists are read side by side, and knows nothing of what the lists are about.
package merge

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store/key"
	"github.com/flawless-engine/flawless/internal/store/kv"
)

// Step is a position that was reached. The run is selected only if all plans have met there.
type Step struct {
	Position
	Met bool
}

// Scan reads a range of a database.
type Scan func(ctx context.Context, r kv.Range) iter.Seq2[kv.Item, error]

// Within limits the positions.
type Within struct {
	Since, Until time.Time // created at or after Since, and before Until; zero is no limit
	Before       Position  // exclusive; nil is the newest
}

// Newest yields the steps along plans, newest first. A plan is a union of lists, which it has the prefixes of; a run is
// selected if it is in all plans. A step is valid until the next one is yielded.
func Newest(ctx context.Context, scan Scan, plans [][]key.Key, in Within) iter.Seq2[Step, error] {
	return func(yield func(Step, error) bool) {
		var walks []*walk
		defer func() {
			for _, w := range walks {
				w.stop()
			}
		}()
		for _, prefixes := range plans {
			w := &walk{}
			w.next, w.stop = iter.Pull2(merged(ctx, scan, prefixes, in))
			walks = append(walks, w)
			if !w.advance() {
				if w.err != nil {
					yield(Step{}, w.err)
				}
				return
			}
		}
		meet(walks, yield)
	}
}

// walk follows a plan.
type walk struct {
	next func() (Position, error, bool)
	stop func()
	at   Position
	err  error
}

func (w *walk) advance() bool {
	at, err, ok := w.next()
	w.at, w.err = at, err
	return ok && err == nil
}

// meet yields the positions that all walks reach, and in between those that only some reach.
func meet(walks []*walk, yield func(Step, error) bool) {
	for {
		first, met := walks[0], true
		for _, w := range walks[1:] {
			c := bytes.Compare(w.at, first.at)
			if met = met && c == 0; c > 0 {
				first = w
			}
		}
		if !yield(Step{first.at, met}, nil) {
			return
		}
		for _, w := range walks {
			if (met || w == first) && !w.advance() {
				if w.err != nil {
					yield(Step{}, w.err)
				}
				return
			}
		}
	}
}

// merged yields the positions in several lists in order. A position is valid until the next one is yielded.
func merged(ctx context.Context, scan Scan, prefixes []key.Key, in Within) iter.Seq2[Position, error] {
	return func(yield func(Position, error) bool) {
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
			h.next, h.stop = iter.Pull2(scan(ctx, in.Part(prefix)))
			heads[i] = h
			if len(prefixes) == 1 {
				h.advance()
				continue
			}
			begun.Go(func() error { h.advance(); return nil })
		}
		_ = begun.Wait() // errors are in the heads
		var last Position
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

// Part returns the range of a list, which it has the prefix of.
func (in Within) Part(prefix key.Key) kv.Range {
	r := kv.Range{From: prefix, To: prefix.End()}
	r.Reverse = true
	if !in.Since.IsZero() {
		r.From = slices.Clone(prefix).Time(in.Since)
	}
	if in.Before != nil {
		r.To = append(slices.Clone(prefix), in.Before...)
	}
	if !in.Until.IsZero() {
		if until := slices.Clone(prefix).Time(in.Until); r.To == nil || bytes.Compare(until, r.To) < 0 {
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
	next func() (kv.Item, error, bool)
	stop func()
	skip int // bytes of a key before the position

	at   Position
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
	if h.at.Check() != nil {
		h.err = fmt.Errorf("key %q is not one of this format: %w", item.Key, flawless.Damaged)
	}
}
