package client

import (
	"context"
	"net/http"

	"github.com/flawless-engine/flawless"
)

// StoreCheck returns the result of the last check of all stored data, and the progress of a running one.
func (c *Client) StoreCheck(ctx context.Context) (flawless.StoreCheck, error) {
	return get[flawless.StoreCheck](ctx, c, "/store/check", nil)
}

// CheckStore starts a check of all stored data and returns at once; use StoreCheck for its progress. If a check is
// already running, it continues at a higher speed.
func (c *Client) CheckStore(ctx context.Context) (flawless.StoreCheck, error) {
	return do[flawless.StoreCheck](ctx, c, request{method: http.MethodPost, path: "/store/check", again: harmless()})
}
