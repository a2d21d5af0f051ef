package engine

import (
	"context"
	"encoding/json"
	"errors"

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
