package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/flawless-engine/flawless"
)

// Progress is told how far an addition has come: uploading, rewriting, compiling, initialising,
// storing; done is 0 to 1.
type Progress func(stage string, done float64)

// AddModule adds a module, without a name under the one that it says of itself. It returns false where these bytes are the newest version already. If
// ctx ends or the connection breaks nobody can say whether the module was added; adding it again
// does no harm.
func (c *Client) AddModule(ctx context.Context, name string, bin []byte, progress Progress) (flawless.Module, bool, error) {
	if progress == nil {
		progress = func(string, float64) {}
	}
	upload := &counted{r: bytes.NewReader(bin), all: len(bin), progress: progress}
	method, path := http.MethodPut, "/modules/"+url.PathEscape(name)
	if name == "" {
		method, path = http.MethodPost, "/modules"
	}
	resp, err := c.send(ctx, request{method: method, path: path, body: upload,
		length: int64(len(bin)), kind: "application/wasm", accept: "text/event-stream"})
	if err != nil {
		return flawless.Module{}, false, err
	}
	defer resp.Body.Close()
	for e, err := range events(resp.Body) {
		if err != nil {
			return flawless.Module{}, false, err
		}
		switch e.name {
		case "progress":
			var p struct {
				Stage string
				Done  float64
			}
			if err := json.Unmarshal(e.data, &p); err == nil {
				progress(p.Stage, p.Done)
			}
		case "problem":
			return flawless.Module{}, false, refusal(http.StatusInternalServerError, e.data)
		case "result":
			var out struct {
				Module flawless.Module
				Added  bool
			}
			err := json.Unmarshal(e.data, &out)
			return out.Module, out.Added, err
		}
	}
	return flawless.Module{}, false, fmt.Errorf("adding module %s: %w; add it again", name, errCut)
}

// counted tells how much of it has been read.
type counted struct {
	r         io.Reader
	all, read int
	progress  Progress
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	if c.read += n; n > 0 {
		c.progress("uploading", float64(c.read)/float64(c.all))
	}
	return n, err
}

// Modules returns the newest version of each module, by name.
func (c *Client) Modules(ctx context.Context) ([]flawless.Module, error) {
	return list[flawless.Module](ctx, c, "/modules")
}

// Module returns all versions of a module, newest first.
func (c *Client) Module(ctx context.Context, name string) ([]flawless.Module, error) {
	return list[flawless.Module](ctx, c, "/modules/"+url.PathEscape(name))
}
