package server

import (
	"context"
	"net/http"
	"net/url"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/engine"
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

// promisePage is a page of the promises of a run.
type promisePage struct {
	Link string `header:"Link" doc:"URL of the next page, with rel=next (RFC 8288); missing on the last page"`
	Body []flawless.Promise
}

// promises adds the operations for promises.
func (a *api) promises() {
	huma.Register(a.huma, operation("list-promises", http.MethodGet, "/runs/{id}/promises", "List the open promises of a run"),
		func(ctx context.Context, in *struct {
			RunPath
			From  int `query:"from" minimum:"0" doc:"number of the first call"`
			Limit int `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"maximum number of entries"`
		}) (*promisePage, error) {
			ps, err := a.engine.Promises(ctx, in.ID)
			ps = slices.DeleteFunc(ps, func(p flawless.Promise) bool { return p.Call < in.From })
			page := &promisePage{Body: ps}
			if len(ps) > in.Limit {
				page.Link = nextLink("/runs/"+url.PathEscape(in.ID)+"/promises", uint64(ps[in.Limit].Call), in.Limit)
				page.Body = ps[:in.Limit]
			}
			return page, reply.From(err)
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
	return &body[flawless.Promise]{p}, reply.From(err)
}
