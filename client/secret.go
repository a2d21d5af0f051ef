package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/flawless-engine/flawless"
)

// SetSecret stores a secret and replaces one with the same name. Without hosts, it keeps the hosts of the old one.
// Repeating it is safe.
func (c *Client) SetSecret(ctx context.Context, name string, hosts []string, value string) (flawless.Secret, error) {
	return update[flawless.Secret](ctx, c, http.MethodPut, "/secrets/"+url.PathEscape(name), nil, map[string]any{"hosts": hosts, "value": value}, harmless())
}

// Secrets returns all secrets without their values, ordered by name.
func (c *Client) Secrets(ctx context.Context) ([]flawless.Secret, error) {
	return list[flawless.Secret](ctx, c, "/secrets")
}

// RemoveSecret removes a secret.
func (c *Client) RemoveSecret(ctx context.Context, name string) error {
	return c.remove(ctx, "/secrets/"+url.PathEscape(name), "secret list")
}

// remove removes an object; list is the command that lists such objects.
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

// RotateSecretKey seals all secrets with a new key. It returns the id of the key and the number of secrets.
func (c *Client) RotateSecretKey(ctx context.Context) (key string, secrets int, err error) {
	out, err := post[struct {
		Key     string
		Secrets int
	}](ctx, c, "/secret-keys", nil, struct{}{},
		unique("it is safe to repeat it; that creates another new key"))
	return out.Key, out.Secrets, err
}
