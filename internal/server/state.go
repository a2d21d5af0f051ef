package server

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/reply"
)

// States is a page of shared states.
type States struct {
	States []flawless.State `json:"states"`
	Next   string           `json:"next,omitempty" doc:"name at which the next page begins; missing on the last page"`
}

// states adds the operations for shared states.
func (a *api) states() {
	huma.Register(a.huma, operation("list-states", http.MethodGet, "/states", "List shared states"),
		func(ctx context.Context, in *struct {
			From  string `query:"from" doc:"next of the previous page"`
			Limit int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"maximum number of entries"`
		}) (*body[States], error) {
			page, next, err := a.engine.States().States(ctx, in.From, in.Limit)
			return &body[States]{States{page, next}}, reply.From(err)
		})
	huma.Register(a.huma, operation("get-state", http.MethodGet, "/states/{name}", "Get a shared state, who holds it and who waits for it"),
		func(ctx context.Context, in *struct {
			Name string `path:"name" doc:"name of the state"`
		}) (*body[flawless.State], error) {
			s, err := a.engine.States().State(ctx, in.Name)
			return &body[flawless.State]{s}, reply.From(err)
		})
}
