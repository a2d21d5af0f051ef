package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store/key"
	"github.com/flawless-engine/flawless/internal/store/reindex"
	"github.com/flawless-engine/flawless/internal/store/tally"
)

// Counts returns how many runs each module has, by status and reason. It walks no runs.
func (s *Store) Counts(ctx context.Context) (map[string]*tally.Row, error) { return s.tally.Sum(ctx) }

// count counts a run under its new status in the write that changes it, and sets the reason that after is counted under. If
// the counts cannot be read, the run goes on without.
func (s *Store) count(ctx context.Context, d *draft, sh Shard, before, after *Head) error {
	from, to := before.mark(), after.mark()
	if from.Status == to.Status {
		after.Reason = from.Reason
		return nil
	}
	slot, err := s.tally.Begin(ctx, sh, d.epoch, cmp.Or(after, before).Run.Module)
	if err != nil {
		_ = s.kv.Note(err)
		return nil
	}
	d.slot = slot
	at := time.Now()
	if after != nil {
		reason, since := after.reason()
		if reason != "" {
			reason, at = slot.Bucket(to.Status, reason), since
		}
		to.Reason, after.Reason = reason, reason
	}
	slot.Move(from, to, at.UnixNano())
	item, err := slot.Item()
	d.batch.Set = append(d.batch.Set, item)
	return err
}

// mark says under what a run is counted; h may be nil.
func (h *Head) mark() (m tally.Mark) {
	if h != nil {
		m = tally.Mark{Status: h.Run.Status, Reason: h.Reason}
	}
	return m
}

// reason returns why a run failed or needs a person, and since when, or "".
func (h *Head) reason() (string, time.Time) {
	switch r := &h.Run; {
	case r.Status == flawless.Failed && r.Failure != nil && r.Ended != nil:
		return tally.Normal(r.Failure.Kind + ": " + r.Failure.Message), *r.Ended
	case r.Status == flawless.Unresolved && r.Problem != "":
		return tally.Normal("problem: " + r.Problem), time.Now()
	case r.Status == flawless.Unresolved && len(r.Unresolved) > 0:
		return tally.Normal(r.Unresolved[0].Reason), r.Unresolved[0].Since
	}
	return "", time.Time{}
}

// totals counts all runs again, when the indexes are rebuilt.
type totals struct {
	s *Store
	*tally.Totals
}

func (t totals) Add(head []byte) error {
	var h Head
	err := t.s.codec.Decode(head, &h)
	if _, since := h.reason(); err == nil {
		t.Totals.Add(ShardOf(h.Run.ID), h.Run.Module, h.mark(), since.UnixNano())
	}
	return err
}

// Recount compares the counts in the shards that l owns with their runs, corrects those that differ, and returns their modules, or
// [flawless.Fenced] if l owns no shard. It reads all runs. A crash in the middle leaves the old or the new counts of a shard.
func (s *Store) Recount(ctx context.Context, l *Lease) (wrong []string, err error) {
	if _, owns := l.any(); !owns {
		return nil, fmt.Errorf("comparing the counts of runs: %s owns no shard: %w", l.owner, flawless.Fenced)
	}
	for _, sh := range l.Owned() {
		add := func(t *tally.Totals, head []byte) error { return totals{s, t}.Add(head) }
		some, err := s.tally.Recount(reindex.AsIs(ctx), sh, s.kv.Scan(ctx, withPrefix(key.Head.Key().Shard(sh))), add, func(set []Item, gone [][]byte) error {
			return s.under(ctx, l, sh, func(d *draft) error { d.batch.Set, d.batch.Delete = set, gone; return nil })
		})
		if wrong = append(wrong, some...); err != nil {
			return wrong, fmt.Errorf("comparing the counts of runs: %w", err)
		}
	}
	slices.Sort(wrong)
	return slices.Compact(wrong), nil
}

// Minutes returns what servers have counted by minute, by the name of each.
func (s *Store) Minutes(ctx context.Context) ([]tally.Minutes, error) {
	return every[tally.Minutes](ctx, s, key.Minutes, "the counts by minute")
}

// PutMinutes writes what a server has counted by minute, and removes the rows of others. It returns [flawless.Fenced] if l
// owns no shard. A crash in the middle leaves the old or the new rows.
func (s *Store) PutMinutes(ctx context.Context, l *Lease, m tally.Minutes, gone []string) error {
	err := s.underAny(ctx, l, func(d *draft) error {
		for _, name := range gone {
			d.delete(key.Minutes.Key().Text(name))
		}
		return d.set(s.codec, key.Minutes.Key().Text(m.Server), &m)
	})
	if err != nil {
		return fmt.Errorf("writing the counts by minute: %w", err)
	}
	return nil
}
