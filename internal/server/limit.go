package server

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/reply"
)

// SetLimit asks for a rate limit.
type SetLimit struct {
	Rate  string `json:"rate" doc:"calls per time, such as 10/s, 300/m, 5000/h or 100/d"`
	Burst int    `json:"burst,omitempty" doc:"calls that may begin at once after an idle period; default 1"`
}

// HostPath names a host in a path.
type HostPath struct {
	Host string `path:"host" doc:"api.example.com, or with one port api.example.com:8443"`
}

func (a *api) limits() {
	huma.Register(a.huma, operation("set-limit", http.MethodPut, "/limits/{host}", "Set the rate limit of a host"),
		func(ctx context.Context, in *struct {
			HostPath
			Body SetLimit
		}) (*body[flawless.Limit], error) {
			n, period, err := flawless.ParseRate(in.Body.Rate)
			if err != nil {
				return nil, reply.From(err)
			}
			l, err := a.engine.Limits().Set(ctx, flawless.Limit{Host: in.Host, Count: n, PeriodMS: period.Milliseconds(), Burst: in.Body.Burst})
			return &body[flawless.Limit]{l}, reply.From(err)
		})
	huma.Register(a.huma, operation("list-limits", http.MethodGet, "/limits", "List rate limits and the number of waiting calls"),
		func(ctx context.Context, in *PageQuery) (*listed[flawless.Limit], error) {
			all := a.engine.ListLimits(ctx)
			return byName("/limits", all, *in, func(x flawless.Limit) string { return x.Host }), nil
		})
	huma.Register(a.huma, operation("remove-limit", http.MethodDelete, "/limits/{host}", "Remove the rate limit of a host; waiting calls begin at once"),
		func(ctx context.Context, in *HostPath) (*struct{}, error) {
			return nil, reply.From(a.engine.Limits().Remove(ctx, in.Host))
		})
}
