package engine

import (
	"context"
	"fmt"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/vault"
)

// secrets returns the vault, or flawless.Refused where the engine has none.
func (e *Engine) secrets() (*vault.Vault, error) {
	if e.vault == nil {
		return nil, fmt.Errorf("this server keeps no secrets: %w", flawless.Refused)
	}
	return e.vault, nil
}

// SetSecret keeps a secret, in the place of the one of that name. Without hosts those of the old one
// stay. Errors never hold the value.
func (e *Engine) SetSecret(ctx context.Context, name string, hosts []string, value string) (flawless.Secret, error) {
	v, err := e.secrets()
	if err == nil {
		err = e.life.Accept()
	}
	if err != nil {
		return flawless.Secret{}, err
	}
	return v.Set(ctx, name, hosts, value)
}

// Secrets lists what may be told of all secrets, by name.
func (e *Engine) Secrets(ctx context.Context) ([]flawless.Secret, error) {
	v, err := e.secrets()
	if err != nil {
		return nil, err
	}
	return v.List(ctx)
}

// RemoveSecret forgets a secret. Calls that need it are refused from then on.
func (e *Engine) RemoveSecret(ctx context.Context, name string) error {
	v, err := e.secrets()
	if err != nil {
		return err
	}
	return v.Remove(ctx, name)
}

// RotateSecretKey seals all secrets with a new key. It returns the key's id and how many secrets
// there are.
func (e *Engine) RotateSecretKey(ctx context.Context) (key string, secrets int, err error) {
	v, err := e.secrets()
	if err != nil {
		return "", 0, err
	}
	return v.Rotate(ctx)
}
