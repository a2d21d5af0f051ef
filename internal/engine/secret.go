package engine

import (
	"context"
	"fmt"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/vault"
)

// Secrets returns the vault, or flawless.Refused if this server keeps no secrets. Use [Engine.SetSecret] to store one.
func (e *Engine) Secrets() (*vault.Vault, error) {
	if e.vault == nil {
		return nil, fmt.Errorf("this server keeps no secrets: %w", flawless.Refused)
	}
	return e.vault, nil
}

// SetSecret stores a secret, and replaces one of the same name. Without hosts those of the old one stay. Errors never
// contain the value.
func (e *Engine) SetSecret(ctx context.Context, name string, hosts []string, value string) (flawless.Secret, error) {
	v, err := e.Secrets()
	if err == nil {
		err = e.life.Accept()
	}
	if err != nil {
		return flawless.Secret{}, err
	}
	return v.Set(ctx, name, hosts, value)
}
