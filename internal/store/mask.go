package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/flawless-engine/flawless"
)

const familyMask family = 'R'

// MaskKey returns the key of the hashes that stand for what is not shown, and makes it where there is
// none. It never leaves the server. It returns [flawless.Fenced] where l is not the lease that holds. A
// crash in the middle leaves no key, or one that nobody has used.
func (s *Store) MaskKey(ctx context.Context, l Lease) ([]byte, error) {
	k := key(nil).family(familyMask)
	b, err := s.kv.Get(ctx, k)
	var secret []byte
	if err == nil {
		err = s.codec.Decode(b, &secret)
	}
	if errors.Is(err, flawless.NotFound) {
		secret = make([]byte, 32)
		_, _ = rand.Read(secret) // never fails
		err = s.under(ctx, l, func(d *draft) error { return d.set(s.codec, k, &secret) })
	}
	if err != nil {
		return nil, fmt.Errorf("reading the key of what is not shown: %w", err)
	}
	return secret, nil
}
