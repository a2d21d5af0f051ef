package client

import (
	"context"

	"github.com/flawless-engine/flawless"
)

// History returns whether the database may have lost calls that were made.
func (c *Client) History(ctx context.Context) (flawless.History, error) {
	return get[flawless.History](ctx, c, "/history", nil)
}

// AcceptHistory accepts the history of the store as it is, and resumes the runs that were held because it was in question. It
// changes nothing if it is not.
func (c *Client) AcceptHistory(ctx context.Context, who, note string) (flawless.History, error) {
	return post[flawless.History](ctx, c, "/history/accept", nil, map[string]string{"who": who, "note": note}, harmless())
}
