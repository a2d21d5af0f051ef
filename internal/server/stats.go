package server

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/reply"
)

func (a *api) stats() {
	huma.Register(a.huma, operation("get-stats", http.MethodGet, "/stats", "Count runs by module, status and reason, and by minute over the last day"),
		func(ctx context.Context, _ *struct{}) (*body[flawless.Stats], error) {
			s, err := a.engine.Stats(ctx)
			return &body[flawless.Stats]{s}, reply.From(err)
		})
}
