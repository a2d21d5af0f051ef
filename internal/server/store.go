package server

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/flawless-engine/flawless"
)

func (a *api) store() {
	type one = body[flawless.StoreCheck]
	huma.Register(a.huma, operation("get-store-check", http.MethodGet, "/store/check", "What the last check of all that is stored has found, and how far the next one is"),
		func(context.Context, *struct{}) (*one, error) {
			c, err := a.engine.StoreCheck()
			return &one{c}, problem(err)
		})
	begin := operation("check-store", http.MethodPost, "/store/check", "Begin to check all that is stored, and return at once")
	begin.DefaultStatus = http.StatusAccepted
	huma.Register(a.huma, begin, func(context.Context, *struct{}) (*one, error) {
		c, err := a.engine.CheckStore()
		return &one{c}, problem(err)
	})
}
