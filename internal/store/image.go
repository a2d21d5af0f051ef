package store

import (
	"context"
	"fmt"

	"github.com/flawless-engine/flawless"
)

// Image is a run as it was after some records of its log. It is a cache: without it the run is made
// again from its log.
type Image struct {
	Seq   uint64 `cbor:"1,keyasint"` // records that it comes after; the log goes on with this one
	State []byte `cbor:"2,keyasint"` // as its owner writes it
	Guest []byte `cbor:"3,keyasint"` // frozen; empty where there is none
}

// PutImage keeps an image of a run in place of the one before. It returns [flawless.Fenced] where l is
// not the lease that holds. A crash in the middle leaves the old one or the new.
func (s *Store) PutImage(ctx context.Context, l Lease, id string, m Image) error {
	err := s.under(ctx, l, func(d *draft) error { return d.set(s.codec, keyImage(id), &m) })
	if err != nil {
		return fmt.Errorf("writing an image of run %s: %w", id, err)
	}
	return nil
}

// Image returns the newest image of a run: [flawless.NotFound] where there is none,
// [flawless.Damaged] where it cannot be read.
func (s *Store) Image(ctx context.Context, id string) (m Image, err error) {
	err = s.get(ctx, keyImage(id), &m, "image of run %s", id)
	if err == nil && m.Seq == 0 {
		err = fmt.Errorf("the image of run %s comes before its log: %w", id, flawless.Damaged)
	}
	return m, err
}
