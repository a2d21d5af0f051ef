package store

import (
	"context"
	"fmt"

	"github.com/flawless-engine/flawless"
)

const familySecret family = 'S'

func keySecret(name string) key { return key(nil).family(familySecret).text(name) }

// SecretChange is what becomes of a secret: Before is nil where there is none yet, After where it is
// removed.
type SecretChange struct{ Before, After *flawless.SealedSecret }

// Secrets returns all secrets, sealed as they were given, in the order of their names.
func (s *Store) Secrets(ctx context.Context) ([]flawless.SealedSecret, error) {
	return every[flawless.SealedSecret](ctx, s, familySecret, "secrets")
}

// ChangeSecrets carries out all changes or none, durably when it returns nil. It returns
// [flawless.Fenced] where l is not the lease that holds, [flawless.Conflict] where a secret is not as
// it was before. A crash in the middle leaves all secrets as they were, or all changed.
func (s *Store) ChangeSecrets(ctx context.Context, l Lease, changes []SecretChange) error {
	if len(changes) == 0 {
		return nil
	}
	err := s.under(ctx, l, func(d *draft) error {
		for _, c := range changes {
			name := ""
			if c.After != nil {
				name = c.After.Name
			} else if c.Before != nil {
				name = c.Before.Name
			}
			if err := change(s.codec, d, keySecret(name), c.Before, c.After); err != nil {
				return fmt.Errorf("secret %s: %w", name, err)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("writing secrets: %w", err)
	}
	return nil
}
