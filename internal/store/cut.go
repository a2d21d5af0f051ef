package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store/codec"
	"github.com/flawless-engine/flawless/internal/store/key"
)

// PutImageAndCut is PutImage that also removes the records of the log before cut.Next, except the first one, in which it
// stores the cut. The image must be of a later record than cut.Next, because the run can no longer be replayed without
// it. A crash in the middle leaves the old image and the whole log, or the new image and the truncated log.
func (s *Store) PutImageAndCut(ctx context.Context, l *Lease, id string, m Image, cut flawless.Cut) error {
	if cut.Next < 1 || cut.Next > m.Seq {
		return fmt.Errorf("cutting the log of run %s before record %d with an image after record %d: %w", id, cut.Next, m.Seq, flawless.Invalid)
	}
	var first codec.Record
	k := key.Record.Of(id).Number(0)
	if err := s.get(ctx, k, &first, "record 0 of run %s", id); err != nil {
		return err
	}
	from := uint64(1)
	if first.Cut != nil {
		from = first.Cut.Next
	}
	if cut.Next < from {
		return fmt.Errorf("cutting the log of run %s before record %d: it is already cut before record %d: %w", id, cut.Next, from, flawless.Invalid)
	}
	first.Cut = &cut
	sh := ShardOf(id)
	err := s.under(ctx, l, sh, func(d *draft) error {
		for n := from; n < cut.Next; n++ {
			d.delete(d.key(key.Record).Shard(sh).Text(id).Number(n))
		}
		return errors.Join(d.set(s.codec, key.Image.Of(id), &m), d.set(s.codec, k, &first))
	})
	if err != nil {
		return fmt.Errorf("writing an image of run %s and cutting its log: %w", id, err)
	}
	return nil
}
