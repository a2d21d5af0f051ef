package server

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/flawless-engine/flawless"
)

// history adds the operations for a store whose database may have lost acknowledged writes.
func (a *api) history() {
	huma.Register(a.huma, operation("get-history", http.MethodGet, "/history", "Get whether the database may have lost calls that were made"),
		func(ctx context.Context, _ *struct{}) (*body[flawless.History], error) {
			return bodyOf(a.engine.ReadHistory(ctx))
		})
	huma.Register(a.huma, operation("accept-history", http.MethodPost, "/history/accept", "Accept the history of the store as it is, and resume the runs that were held because it was in question"),
		func(ctx context.Context, in *struct{ Body Word }) (*body[flawless.History], error) {
			return bodyOf(a.engine.AcceptHistory(ctx, in.Body.Who, in.Body.Note))
		})
}
