package server

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/engine"
	"github.com/flawless-engine/flawless/internal/reply"
)

// Code is a request that may have a module as its body.
type Code struct {
	RunPath
	Payload
}

// bin returns the module, or nil.
func (c *Code) bin() []byte {
	if len(c.Bytes) == 0 {
		return nil
	}
	return c.Bytes
}

// withCode registers an operation whose body may be a module.
func withCode[In, Out any](a *api, op huma.Operation, do func(context.Context, *In) (*Out, error)) {
	op.MaxBodyBytes = engine.MaxModule + 1
	huma.Register(a.huma, withPayload(op, "application/wasm", false, nil), do)
}

// examinations adds the operations that inspect runs without changing them.
func (a *api) examinations() {
	withCode(a, operation("replay-run", http.MethodPost, "/runs/{id}/replay", "Replay a run, with its own module or the one in the body"),
		func(ctx context.Context, in *Code) (*body[flawless.Replay], error) {
			r, err := a.engine.Replay(ctx, in.ID, in.bin())
			return &body[flawless.Replay]{r}, reply.From(err)
		})
	a.traces()
	a.forks()
	a.bundles()
}
