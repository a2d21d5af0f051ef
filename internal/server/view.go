package server

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/reply"
)

// SetView asks for a view to be saved.
type SetView struct {
	Page  string `json:"page" doc:"what the query is for, such as runs"`
	Query string `json:"query,omitempty" doc:"as in a URL, without ?, at most 4,000 bytes"`
}

// ViewPath names a view in a path.
type ViewPath struct {
	Name string `path:"name" doc:"name of the view, at most 100 bytes"`
}

func (a *api) views() {
	huma.Register(a.huma, operation("list-views", http.MethodGet, "/views", "List saved views"),
		func(ctx context.Context, in *PageQuery) (*listed[flawless.View], error) {
			all, err := a.engine.Views().List(ctx)
			if err != nil {
				return nil, reply.From(err)
			}
			return byName("/views", all, *in, func(v flawless.View) string { return v.Name }), nil
		})
	huma.Register(a.huma, operation("set-view", http.MethodPut, "/views/{name}", "Save a view for all who use the server; at most 200 are kept"),
		func(ctx context.Context, in *struct {
			ViewPath
			Body SetView
		}) (*body[flawless.View], error) {
			v := flawless.View{Name: in.Name, Page: in.Body.Page, Query: in.Body.Query}
			return &body[flawless.View]{v}, reply.From(a.engine.Views().Set(ctx, v))
		})
	huma.Register(a.huma, operation("remove-view", http.MethodDelete, "/views/{name}", "Remove a saved view"),
		func(ctx context.Context, in *ViewPath) (*struct{}, error) {
			return nil, reply.From(a.engine.Views().Remove(ctx, in.Name))
		})
}
