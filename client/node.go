package client

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/flawless-engine/flawless"
)

// Nodes returns the servers on the database of this one, sorted by name. What they do is a few seconds old. There are none
// if the server has its store in its working directory.
func (c *Client) Nodes(ctx context.Context) ([]flawless.NodeStatus, error) {
	return list[flawless.NodeStatus](ctx, c, "/nodes")
}

// DrainNode has a server give its work to the others, and with drain=false take work again. It returns at once; the server
// begins within seconds. name may also be its id.
func (c *Client) DrainNode(ctx context.Context, name string, drain bool) (flawless.NodeStatus, error) {
	verb := "/undrain"
	if drain {
		verb = "/drain"
	}
	return update[flawless.NodeStatus](ctx, c, http.MethodPost, "/nodes/"+url.PathEscape(name)+verb, nil, nil, harmless())
}

// Drained waits until a node that drains owns no shards, and returns it. left, unless nil, is called with the number of its
// shards whenever it has changed. The error is flawless.Conflict if the node ends before that, or does not drain any more.
func (c *Client) Drained(ctx context.Context, id string, left func(shards int)) (flawless.NodeStatus, error) {
	for last := -1; ; {
		all, err := c.Nodes(ctx)
		if err != nil {
			return flawless.NodeStatus{}, err
		}
		i := slices.IndexFunc(all, func(n flawless.NodeStatus) bool { return n.ID == id })
		switch {
		case i < 0 || all[i].Dead:
			return flawless.NodeStatus{}, fmt.Errorf("node %s has ended before it was drained; others take over its shards: %w", id, flawless.Conflict)
		case !all[i].Draining:
			return all[i], fmt.Errorf("node %s does not drain any more: somebody has undone it: %w", all[i].Name, flawless.Conflict)
		case all[i].Shards == 0:
			return all[i], nil
		case all[i].Shards != last && left != nil:
			last = all[i].Shards
			left(last)
		}
		select {
		case <-time.After(500 * time.Millisecond):
		case <-ctx.Done():
			return all[i], ctx.Err()
		}
	}
}
