package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/flawless-engine/flawless"
)

// SetLimit limits the calls towards a host to a rate such as 10/s, of which burst may begin at once
// after a pause; 0 is 1.
func (c *Client) SetLimit(ctx context.Context, host, rate string, burst int) (flawless.Limit, error) {
	in := map[string]any{"rate": rate}
	if burst != 0 {
		in["burst"] = burst
	}
	return update[flawless.Limit](ctx, c, http.MethodPut, "/limits/"+url.PathEscape(host), nil, in, harmless())
}

// Limits returns all limits, by host.
func (c *Client) Limits(ctx context.Context) ([]flawless.Limit, error) {
	return list[flawless.Limit](ctx, c, "/limits")
}

// RemoveLimit removes the limit of a host. Calls that wait begin at once.
func (c *Client) RemoveLimit(ctx context.Context, host string) error {
	return c.remove(ctx, "/limits/"+url.PathEscape(host), "limit list")
}
