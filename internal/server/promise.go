package server

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/danielgtaylor/huma/v2"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/engine"
	"github.com/flawless-engine/flawless/internal/forward"
	"github.com/flawless-engine/flawless/internal/reply"
)

// PromisePath names a promise in a path.
type PromisePath struct {
	Token string `path:"token" doc:"token of the promise"`
}

// Rejection settles a promise with an error.
type Rejection struct {
	Error string `json:"error" minLength:"1"`
	Who   string `json:"who,omitempty" minLength:"0"`
}

// promises adds the operations for promises.
func (a *api) promises() {
	huma.Register(a.huma, operation("list-promises", http.MethodGet, "/runs/{id}/promises", "List the open promises of a run"),
		func(ctx context.Context, in *struct {
			RunPath
			NumberQuery
		}) (*listed[flawless.Promise], error) {
			all, err := a.engine.Promises(ctx, in.ID)
			return byNumber("/runs/"+url.PathEscape(in.ID)+"/promises", all, in.NumberQuery,
				func(p flawless.Promise) int { return p.Call }, func(p flawless.Promise) int { return len(p.Name) + len(p.Token) + len(p.Schema) }), reply.From(err)
		})
	settle := operation("settle-promise", http.MethodPost, "/promises/{token}", "Settle a promise with the value in the body")
	settle = withPayload(settle, "application/json", true, &huma.Schema{})
	huma.Register(a.huma, settle, func(ctx context.Context, in *struct {
		PromisePath
		Payload
	}) (*body[flawless.Promise], error) {
		return a.settle(ctx, in.Token, engine.Settlement{Value: in.Bytes}, "")
	})
	huma.Register(a.huma, operation("reject-promise", http.MethodPost, "/promises/{token}/reject", "Settle a promise with an error"),
		func(ctx context.Context, in *struct {
			PromisePath
			Body Rejection
		}) (*body[flawless.Promise], error) {
			return a.settle(ctx, in.Token, engine.Settlement{Error: in.Body.Error}, in.Body.Who)
		})
}

func (a *api) settle(ctx context.Context, token string, with engine.Settlement, who string) (*body[flawless.Promise], error) {
	p, err := a.engine.Settle(ctx, token, with, who)
	if before := new(engine.Settled); forward.IsRepeated(ctx) && errors.As(err, &before) && before.With.Same(with) {
		p, err = before.Promise, nil // by the same request, most likely
	}
	p.Schema = nil // says nothing about a promise that is settled
	return &body[flawless.Promise]{p}, reply.From(err)
}
