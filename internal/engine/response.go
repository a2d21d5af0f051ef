package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/flawless-engine/flawless"
)

// Response waits until a run has published data, which is how a module of the crate flawless responds,
// or has ended, and returns both. The data is nil where there is none. The run goes on by itself.
func (e *Engine) Response(ctx context.Context, id string) (flawless.Run, json.RawMessage, error) {
	topic, done := e.subscribe(id)
	defer done()
	for {
		changed := topic.next()
		r, err := e.Run(ctx, id)
		if err != nil {
			return r, nil, err
		}
		data, err := e.Data(ctx, id)
		switch {
		case err == nil:
			return r, data, nil
		case !errors.Is(err, flawless.NotFound):
			return r, nil, err
		case r.Status.Ended():
			return r, nil, nil
		}
		if err := e.await(ctx, changed); err != nil {
			return r, nil, err
		}
	}
}

// version returns the newest of the versions of a module that its author, or the store, calls so.
func (e *Engine) version(ctx context.Context, module, version string) (flawless.Module, error) {
	all, err := e.store.Module(ctx, module)
	if err != nil {
		return flawless.Module{}, err
	}
	for _, m := range all {
		if m.Manifest.Version == version {
			return m, nil
		}
	}
	for _, m := range all {
		if strconv.Itoa(m.Version) == version {
			return m, nil
		}
	}
	newest := strconv.Itoa(all[0].Version)
	if said := all[0].Manifest.Version; said != "" {
		newest = said
	}
	return flawless.Module{}, fmt.Errorf("module %s has no version %q; the newest is %s: %w", module, version, newest, flawless.NotFound)
}
