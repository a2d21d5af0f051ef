package server

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/reply"
)

func (a *api) store() {
	type one = body[flawless.StoreCheck]
	huma.Register(a.huma, operation("get-store-check", http.MethodGet, "/store/check", "Get the result of the last check of the store, and the progress of a running one"),
		func(context.Context, *struct{}) (*one, error) {
			c, err := a.engine.StoreCheck()
			return &one{c}, reply.From(err)
		})
	begin := operation("check-store", http.MethodPost, "/store/check", "Start a check of the store, and return at once")
	begin.DefaultStatus = http.StatusAccepted
	huma.Register(a.huma, begin, func(context.Context, *struct{}) (*one, error) {
		c, err := a.engine.CheckStore()
		return &one{c}, reply.From(err)
	})
}
