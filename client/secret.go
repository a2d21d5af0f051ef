package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/flawless-engine/flawless"
)

// SetSecret keeps a secret, in the place of the one of that name. Without hosts those of the old one
// stay. Setting the same again does no harm.
func (c *Client) SetSecret(ctx context.Context, name string, hosts []string, value string) (flawless.Secret, error) {
	return update[flawless.Secret](ctx, c, http.MethodPut, "/secrets/"+url.PathEscape(name), nil, map[string]any{"hosts": hosts, "value": value}, harmless())
}

// Secrets lists what may be told of all secrets, by name.
func (c *Client) Secrets(ctx context.Context) ([]flawless.Secret, error) {
	return list[flawless.Secret](ctx, c, "/secrets")
}

// RemoveSecret forgets a secret.
func (c *Client) RemoveSecret(ctx context.Context, name string) error {
	return c.remove(ctx, "/secrets/"+url.PathEscape(name), "secret list")
}

// remove asks for something to be removed, which a command lists.
func (c *Client) remove(ctx context.Context, path, list string) error {
	a := unique("check whether it still exists with: flawless %s", list)
	return c.persist(ctx, a, func() (bool, error) {
		resp, err := c.send(ctx, request{method: http.MethodDelete, path: path, again: a})
		if err != nil {
			return false, err
		}
		return false, resp.Body.Close()
	})
}

// RotateSecretKey seals all secrets with a new key. It returns the key's id and how many secrets
// there are.
func (c *Client) RotateSecretKey(ctx context.Context) (key string, secrets int, err error) {
	out, err := post[struct {
		Key     string
		Secrets int
	}](ctx, c, "/secret-keys", nil, struct{}{},
		unique("it is safe to repeat it; that creates another new key"))
	return out.Key, out.Secrets, err
}
