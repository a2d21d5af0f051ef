package server

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/engine"
)

// code is a request that may carry a module.
type code struct {
	RunPath
	RawBody []byte `contentType:"application/wasm" required:"false"`
}

// bin is the module, nil where there is none.
func (c *code) bin() []byte {
	if len(c.RawBody) == 0 {
		return nil
	}
	return c.RawBody
}

// takesCode describes an operation whose body may be a module.
func takesCode(op huma.Operation) huma.Operation {
	op.MaxBodyBytes = engine.MaxModule + 1
	op.BodyReadTimeout = 10 * time.Minute
	op.Errors = append(op.Errors, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity)
	return op
}

// examinations are the operations that look at what happened and touch nothing.
func (a *api) examinations() {
	huma.Register(a.huma, takesCode(operation("replay-run", http.MethodPost, "/runs/{id}/replay", "Take the turns of a run again, with its own module or the one in the body")),
		func(ctx context.Context, in *code) (*body[flawless.Replay], error) {
			r, err := a.engine.Replay(ctx, in.ID, in.bin())
			return &body[flawless.Replay]{r}, problem(err)
		})
}
