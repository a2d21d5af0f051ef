package server

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/reply"
)

// ChangeSettings changes the settings of a module. Missing members do not change.
type ChangeSettings struct {
	RetentionMS *int64 `json:"retention_ms,omitempty" doc:"how long ended runs are kept; 0 is 30 days, -1 is forever"`
	Concurrency *int   `json:"concurrency,omitempty" doc:"maximum number of runs in progress at once; 0 is unlimited"`
	RetryForMS  *int64 `json:"retry_for_ms,omitempty" doc:"how long failed calls are retried; 0 disables retries, -1 uses the setting of the server"`
	KeepTurns   *int   `json:"keep_turns,omitempty" doc:"minimum number of turns to keep in the log of a run; those since the last image are always kept; 0 keeps all"`
}

// ModulePath names a module in a path.
type ModulePath struct {
	Name string `path:"name" doc:"name of the module"`
}

func (a *api) settings() {
	type one = body[flawless.Settings]
	huma.Register(a.huma, operation("get-settings", http.MethodGet, "/modules/{name}/settings", "Get the settings of a module"),
		func(ctx context.Context, in *ModulePath) (*one, error) {
			s, err := a.engine.Settings(ctx, in.Name)
			return &one{s}, reply.From(err)
		})
	huma.Register(a.huma, operation("change-settings", http.MethodPatch, "/modules/{name}/settings", "Change the settings of a module"),
		func(ctx context.Context, in *struct {
			ModulePath
			Body ChangeSettings
		}) (*one, error) {
			s, err := a.engine.ChangeSettings(ctx, in.Name, func(s *flawless.Settings) {
				if in.Body.RetentionMS != nil {
					s.RetentionMS = *in.Body.RetentionMS
				}
				if in.Body.Concurrency != nil {
					s.Concurrency = *in.Body.Concurrency
				}
				if in.Body.KeepTurns != nil {
					s.KeepTurns = *in.Body.KeepTurns
				}
				setRetryFor(&s.RetryForMS, in.Body.RetryForMS)
			})
			return &one{s}, reply.From(err)
		})
}
