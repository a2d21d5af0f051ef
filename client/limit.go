package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/flawless-engine/flawless"
)

// SetLimit limits the calls to a host to a rate such as 10/s. burst is how many may begin at once after a pause; 0
// means 1.
func (c *Client) SetLimit(ctx context.Context, host, rate string, burst int) (flawless.Limit, error) {
	in := map[string]any{"rate": rate}
	if burst != 0 {
		in["burst"] = burst
	}
	return update[flawless.Limit](ctx, c, http.MethodPut, "/limits/"+url.PathEscape(host), nil, in, harmless())
}

// Limits returns all limits, ordered by host.
func (c *Client) Limits(ctx context.Context) ([]flawless.Limit, error) {
	return list[flawless.Limit](ctx, c, "/limits")
}

// RemoveLimit removes the limit of a host. Waiting calls begin at once.
func (c *Client) RemoveLimit(ctx context.Context, host string) error {
	return c.remove(ctx, "/limits/"+url.PathEscape(host), "limit list")
}
