package client

import (
	"context"

	"github.com/flawless-engine/flawless"
)

// Stats returns counts of all runs. It takes no longer if there are more of them.
func (c *Client) Stats(ctx context.Context) (flawless.Stats, error) {
	return get[flawless.Stats](ctx, c, "/stats", nil)
}
