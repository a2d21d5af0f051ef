package client

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/flawless-engine/flawless"
)

// Replay takes the turns of a run again on the server, with its own module or, where module is not
// nil, with that one. Neither the outside nor the run is touched.
func (c *Client) Replay(ctx context.Context, id string, module []byte) (flawless.Replay, error) {
	return sendCode[flawless.Replay](ctx, c, runPath(id, "/replay"), nil, module)
}

// Export says what goes into a bundle.
type Export struct {
	Redact  []string // paths of values to take out, such as $.card.number
	LogOnly bool     // without module and image
}

// Export writes a run into w as a bundle (docs/formats.md), whatever state it is in.
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

// Import gives a bundle to the server, which keeps its run under that id, "" being its own.
func (c *Client) Import(ctx context.Context, bundle []byte, id string) (flawless.Run, error) {
	q := url.Values{}
	if id != "" {
		q.Set("id", id)
	}
	return document[flawless.Run](c.send(ctx, request{method: http.MethodPost, path: "/bundles", query: q,
		body: bytes.NewReader(bundle), length: int64(len(bundle)), kind: "application/octet-stream"}))
}

// sendCode sends a module, where there is one, and returns the document that comes back.
func sendCode[T any](ctx context.Context, c *Client, path string, query url.Values, module []byte) (T, error) {
	r := request{method: http.MethodPost, path: path, query: query}
	if len(module) > 0 {
		r.body, r.length, r.kind = bytes.NewReader(module), int64(len(module)), "application/wasm"
	}
	return document[T](c.send(ctx, r))
}
