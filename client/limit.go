package client

import (
	"bytes"
	"context"
	"encoding/json"
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
	b, err := json.Marshal(in)
	if err != nil {
		return flawless.Limit{}, err
	}
	return document[flawless.Limit](c.send(ctx, request{method: http.MethodPut, path: "/limits/" + url.PathEscape(host),
		body: bytes.NewReader(b), length: int64(len(b)), kind: "application/json"}))
}

// Limits returns all limits, by host.
func (c *Client) Limits(ctx context.Context) ([]flawless.Limit, error) {
	return get[[]flawless.Limit](ctx, c, "/limits", nil)
}

// RemoveLimit removes the limit of a host. Calls that wait begin at once.
func (c *Client) RemoveLimit(ctx context.Context, host string) error {
	return c.remove(ctx, "/limits/"+url.PathEscape(host))
}
