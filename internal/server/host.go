package server

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/core"
	"github.com/flawless-engine/flawless/internal/reply"
)

// ChangeHost changes the settings of a host. Missing members do not change.
type ChangeHost struct {
	KeyMS      *int64 `json:"key_within_ms,omitempty" doc:"how long the host remembers an Idempotency-Key; 0 is not set, -1 means that it ignores keys"`
	RetryForMS *int64 `json:"retry_for_ms,omitempty" doc:"how long failed calls are retried; 0 disables retries, -1 uses the setting of the module or the server"`
}

// PatternPath names one or several hosts in a path.
type PatternPath struct {
	Host string `path:"host" doc:"api.example.com, *.example.com (every name below it), or either with a port"`
}

// UrgeCall is a decision about a call that waits for a retry.
type UrgeCall struct {
	Call   int  `json:"call,omitempty" doc:"number of the call; may be omitted if only one call waits for a retry"`
	GiveUp bool `json:"give_up,omitempty" doc:"stop retrying, and return the last error to the code"`
	Word
}

func (a *api) hosts() {
	huma.Register(a.huma, operation("change-host", http.MethodPatch, "/hosts/{host}", "Change the settings of a host"),
		func(ctx context.Context, in *struct {
			PatternPath
			Body ChangeHost
		}) (*body[flawless.Host], error) {
			h, err := a.engine.Policy().ChangeHost(ctx, in.Host, func(h *flawless.Host) {
				if in.Body.KeyMS != nil {
					h.KeyMS = *in.Body.KeyMS
				}
				setRetryFor(&h.RetryForMS, in.Body.RetryForMS)
			})
			return &body[flawless.Host]{h}, reply.From(err)
		})
	huma.Register(a.huma, operation("list-hosts", http.MethodGet, "/hosts", "List the settings of all hosts"),
		func(ctx context.Context, in *PageQuery) (*listed[flawless.Host], error) {
			all := a.engine.Policy().Hosts()
			return byName("/hosts", all, *in, func(x flawless.Host) string { return x.Host }), nil
		})
	huma.Register(a.huma, operation("get-host", http.MethodGet, "/hosts/{host}", "Get the settings of a host"),
		func(ctx context.Context, in *PatternPath) (*body[flawless.Host], error) {
			return bodyOf(a.engine.Policy().Host(in.Host))
		})
	huma.Register(a.huma, operation("remove-host", http.MethodDelete, "/hosts/{host}", "Remove the settings of a host"),
		func(ctx context.Context, in *PatternPath) (*struct{}, error) {
			return nil, reply.From(a.engine.Policy().RemoveHost(ctx, in.Host))
		})
	huma.Register(a.huma, operation("retry-call", http.MethodPost, "/runs/{id}/retry", "Retry a failed call now, or give up on it"),
		func(ctx context.Context, in *struct {
			RunPath
			Body UrgeCall `required:"false"`
		}) (*body[flawless.Run], error) {
			b := in.Body
			return bodyOf(a.engine.Urge(ctx, in.ID, core.RetryDecision{Call: b.Call, GiveUp: b.GiveUp, Who: b.Who, Note: b.Note}))
		})
}

// setRetryFor sets a retry time; -1 removes it, and nil does not change it.
func setRetryFor(to **int64, ms *int64) {
	switch {
	case ms == nil:
	case *ms == -1:
		*to = nil
	default:
		*to = ms
	}
}
