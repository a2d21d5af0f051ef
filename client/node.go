package client

import (
	"context"
	"net/http"
	"net/url"

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
