package client

import (
	"context"
	"net/http"

	"github.com/flawless-engine/flawless"
)

// StoreCheck returns what the last check of all that is stored has found, and how far the one is that is under way.
func (c *Client) StoreCheck(ctx context.Context) (flawless.StoreCheck, error) {
	return get[flawless.StoreCheck](ctx, c, "/store/check", nil)
}

// CheckStore begins a check of all that is stored and returns at once; StoreCheck tells how far it is. Where one is
// under way it goes on, and faster.
func (c *Client) CheckStore(ctx context.Context) (flawless.StoreCheck, error) {
	return do[flawless.StoreCheck](ctx, c, request{method: http.MethodPost, path: "/store/check", again: harmless()})
}
