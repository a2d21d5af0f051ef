package store

import (
	"context"
	"fmt"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store/key"
)

func keySecret(name string) key.Key { return key.Secret.Key().Text(name) }

// SecretChange is a change of a secret: Before is nil if there is none yet, After is nil to remove it.
type SecretChange struct{ Before, After *flawless.SealedSecret }

// Secrets returns all secrets, sealed, sorted by name.
func (s *Store) Secrets(ctx context.Context) ([]flawless.SealedSecret, error) {
	return every[flawless.SealedSecret](ctx, s, key.Secret, "secrets")
}

// ChangeSecrets applies all changes atomically, durably if it returns nil. It returns [flawless.Fenced] if l owns no
// shard, and [flawless.Conflict] if a stored secret is another one. A crash in the middle leaves all secrets
// unchanged or all changed.
func (s *Store) ChangeSecrets(ctx context.Context, l *Lease, changes []SecretChange) error {
	if len(changes) == 0 {
		return nil
	}
	err := s.underAny(ctx, l, func(d *draft) error {
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
		return d.changed(s.codec, ChangedSecrets)
	})
	if err != nil {
		return fmt.Errorf("writing secrets: %w", err)
	}
	return nil
}
