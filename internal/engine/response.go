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
	topic, done := e.hub.Follow(id)
	defer done()
	for {
		changed := topic.Changed()
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

// named returns the version of a module that a run is to be started of: the newest, or the newest of
// those that their author, or the store, calls so.
func (e *Engine) named(ctx context.Context, o Start) (flawless.Module, error) {
	if o.Version == "" {
		return e.names.newest(ctx, o.Module, e.store.Module)
	}
	all, err := e.store.Module(ctx, o.Module)
	if err != nil {
		return flawless.Module{}, err
	}
	for _, m := range all {
		if m.Manifest.Version == o.Version {
			return m, nil
		}
	}
	for _, m := range all {
		if strconv.Itoa(m.Version) == o.Version {
			return m, nil
		}
	}
	newest := strconv.Itoa(all[0].Version)
	if said := all[0].Manifest.Version; said != "" {
		newest = said
	}
	return flawless.Module{}, fmt.Errorf("module %s has no version %q; the newest is %s: %w", o.Module, o.Version, newest, flawless.NotFound)
}
