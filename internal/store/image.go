package store

import (
	"context"
	"fmt"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store/key"
)

// Image is the state of a run after some records of its log. It is a cache: without it, the run is replayed from its
// log.
type Image struct {
	Seq   uint64 `cbor:"1,keyasint"` // number of the next record of the log
	State []byte `cbor:"2,keyasint"` // as the engine encodes it
	Guest []byte `cbor:"3,keyasint"` // frozen guest; empty if there is none
}

// PutImage stores an image of a run and replaces the previous one. It returns [flawless.Fenced] if l does not own its
// shard. A crash in the middle leaves the old or the new image.
func (s *Store) PutImage(ctx context.Context, l *Lease, id string, m Image) error {
	err := s.under(ctx, l, ShardOf(id), func(d *draft) error { return d.set(s.codec, key.Image.Of(id), &m) })
	if err != nil {
		return fmt.Errorf("writing an image of run %s: %w", id, err)
	}
	return nil
}

// Image returns the image of a run. It returns [flawless.NotFound] if there is none, and [flawless.Damaged] if it cannot
// be read.
func (s *Store) Image(ctx context.Context, id string) (m Image, err error) {
	err = s.get(ctx, key.Image.Of(id), &m, "image of run %s", id)
	if err == nil && m.Seq == 0 {
		err = fmt.Errorf("the image of run %s comes before its log: %w", id, flawless.Damaged)
	}
	return m, err
}
