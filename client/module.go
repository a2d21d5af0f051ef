package client

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/flawless-engine/flawless"
)

// Progress is called with the progress of an upload. stage is uploading, rewriting, compiling, initialising or
// storing; done is between 0 and 1.
type Progress func(stage string, done float64)

// AddModule adds a module as a new version. Without a name, the module's own name is used. It returns false if the
// newest version already has these bytes. If ctx ends, the module may or may not have been added; adding it again is
// safe.
func (c *Client) AddModule(ctx context.Context, name string, bin []byte, progress Progress) (flawless.Module, bool, error) {
	if progress == nil {
		progress = func(string, float64) {}
	}
	upload := func(r io.Reader) io.Reader { return &counted{r: r, all: len(bin), progress: progress} }
	method, path := http.MethodPut, "/modules/"+url.PathEscape(name)
	if name == "" {
		method, path = http.MethodPost, "/modules"
	}
	r := request{method: method, path: path, body: bin, read: upload, kind: "application/wasm", accept: "text/event-stream", again: harmless()}
	var out struct {
		Module flawless.Module
		Added  bool
	}
	err := c.listen(ctx, func() request { return r }, func(e event) (bool, error) {
		switch e.name {
		case "progress":
			var p struct {
				Stage string
				Done  float64
			}
			if json.Unmarshal(e.data, &p) == nil {
				progress(p.Stage, p.Done)
			}
			return false, nil
		case "result":
			return true, json.Unmarshal(e.data, &out)
		}
		return false, nil
	})
	return out.Module, out.Added, err
}

// counted reports how much of it has been read.
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

// Modules returns the newest version of each module, ordered by name.
func (c *Client) Modules(ctx context.Context) ([]flawless.Module, error) {
	return list[flawless.Module](ctx, c, "/modules")
}

// Module returns all versions of a module, newest first.
func (c *Client) Module(ctx context.Context, name string) ([]flawless.Module, error) {
	return list[flawless.Module](ctx, c, "/modules/"+url.PathEscape(name))
}

// SourceOf says what to read of the sources of a module.
type SourceOf struct {
	Version int    // 0 is the newest
	Digest  string // of the module, as a run has it, instead of the version
	File    string // return this file with its text; "" lists all files
}

// Source returns the source files that were built into a module. Without a file, it lists all without their texts.
// Otherwise it returns the one with that name, or the only one whose path ends so, as [flawless.Call.Site] names it.
func (c *Client) Source(ctx context.Context, name string, of SourceOf) (flawless.Source, error) {
	q := url.Values{}
	if of.Version != 0 {
		q.Set("version", strconv.Itoa(of.Version))
	}
	for name, value := range map[string]string{"digest": of.Digest, "file": of.File} {
		if value != "" {
			q.Set(name, value)
		}
	}
	return get[flawless.Source](ctx, c, "/modules/"+url.PathEscape(name)+"/source", q)
}
