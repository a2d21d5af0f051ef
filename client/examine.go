package client

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/flawless-engine/flawless"
)

// Replay replays a run on the server, with its own module or, if module is not nil, with that one. It affects neither
// the run nor the outside.
func (c *Client) Replay(ctx context.Context, id string, module []byte) (flawless.Replay, error) {
	return sendCode[flawless.Replay](ctx, c, runPath(id, "/replay"), nil, module)
}

// Trace selects what a trace shows.
type Trace struct {
	Turn  int    // only this turn; 0 means all
	Depth int    // maximum depth of the tree; 0 means unlimited
	Func  string // only paths to functions whose name matches this regular expression
	All   bool   // include functions of the language's runtime
}

// Trace returns the path of a run through its code, from a replay on the server with its own module or, if module is
// not nil, with that one.
func (c *Client) Trace(ctx context.Context, id string, o Trace, module []byte) (flawless.Trace, error) {
	q := url.Values{}
	for name, n := range map[string]int{"turn": o.Turn, "depth": o.Depth} {
		if n != 0 {
			q.Set(name, strconv.Itoa(n))
		}
	}
	if o.Func != "" {
		q.Set("func", o.Func)
	}
	if o.All {
		q.Set("all", "true")
	}
	return sendCode[flawless.Trace](ctx, c, runPath(id, "/trace"), q, module)
}

// Export selects what a bundle contains.
type Export struct {
	Redact  []string // what to redact: $.card.number, header:Authorization, query:token
	LogOnly bool     // omit the module and the image
}

// Export writes a run to w as a bundle (docs/internals/formats.md), whatever its state. After an error, w has an
// incomplete bundle.
func (c *Client) Export(ctx context.Context, id string, o Export, w io.Writer) error {
	q := url.Values{}
	for _, p := range o.Redact {
		q.Add("redact", p)
	}
	if o.LogOnly {
		q.Set("log_only", "true")
	}
	resp, err := c.send(ctx, request{method: http.MethodGet, path: runPath(id, "/bundle"), query: q})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(w, resp.Body); err != nil {
		return fmt.Errorf("receiving the bundle of run %s: %w", id, err)
	}
	return nil
}

// Import uploads a bundle. The server stores its run under the given id, or under its own if id is "".
func (c *Client) Import(ctx context.Context, bundle []byte, id string) (flawless.Run, error) {
	q := url.Values{}
	if id != "" {
		q.Set("id", id)
	}
	return do[flawless.Run](ctx, c, request{method: http.MethodPost, path: "/bundles", query: q, body: bundle, kind: "application/octet-stream",
		again: unique("check whether the run exists with: flawless workflow list")})
}

// sendCode sends a module, if there is one, and returns the document in the response.
func sendCode[T any](ctx context.Context, c *Client, path string, query url.Values, module []byte) (T, error) {
	r := request{method: http.MethodPost, path: path, query: query, again: reads()}
	if len(module) > 0 {
		r.body, r.kind = module, "application/wasm"
	}
	return do[T](ctx, c, r)
}
