package client

import (
	"bytes"
	"context"
	"net/http"
	"net/url"

	"github.com/flawless-engine/flawless"
)

// Replay takes the turns of a run again on the server, with its own module or, where module is not
// nil, with that one. Neither the outside nor the run is touched.
func (c *Client) Replay(ctx context.Context, id string, module []byte) (flawless.Replay, error) {
	return sendCode[flawless.Replay](ctx, c, runPath(id, "/replay"), nil, module)
}

// sendCode sends a module, where there is one, and returns the document that comes back.
func sendCode[T any](ctx context.Context, c *Client, path string, query url.Values, module []byte) (T, error) {
	r := request{method: http.MethodPost, path: path, query: query}
	if len(module) > 0 {
		r.body, r.length, r.kind = bytes.NewReader(module), int64(len(module)), "application/wasm"
	}
	return document[T](c.send(ctx, r))
}
