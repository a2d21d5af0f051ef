package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store/key"
)

// MaskKey returns the key for the hashes that replace masked values, and creates it if there is none. The key never
// leaves the server. It returns [flawless.Fenced] if l owns no shard. A crash in the middle leaves no key, or
// one that is not used yet.
func (s *Store) MaskKey(ctx context.Context, l *Lease) ([]byte, error) {
	k := key.Mask.Key()
	b, err := s.kv.Get(ctx, k)
	var secret []byte
	if err == nil {
		err = s.codec.Decode(b, &secret)
	}
	if errors.Is(err, flawless.NotFound) {
		secret = make([]byte, 32)
		_, _ = rand.Read(secret) // never fails
		err = s.underAny(ctx, l, func(d *draft) error { return change(s.codec, d, k, nil, &secret) })
		if errors.Is(err, flawless.Conflict) { // another server has made one meanwhile
			return s.MaskKey(ctx, l)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("reading the key for masked values: %w", err)
	}
	return secret, nil
}
