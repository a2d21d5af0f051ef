package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/flawless-engine/flawless"
)

// SettingsChange says what is to be changed of a module's settings; nil leaves it.
type SettingsChange struct {
	RetentionMS *int64 `json:"retention_ms,omitempty"` // 0 is the default, -1 for ever
	Concurrency *int   `json:"concurrency,omitempty"`  // 0 is unlimited
	KeepTurns   *int   `json:"keep_turns,omitempty"`   // of a log, at least; 0 is all
	RetryForMS  *int64 `json:"retry_for_ms,omitempty"` // failed calls are retried for so long; 0 is not at all, -1 as the server says
}

// Settings returns how the runs of a module are treated.
func (c *Client) Settings(ctx context.Context, module string) (flawless.Settings, error) {
	return get[flawless.Settings](ctx, c, "/modules/"+url.PathEscape(module)+"/settings", nil)
}

// ChangeSettings changes how the runs of a module are treated.
func (c *Client) ChangeSettings(ctx context.Context, module string, change SettingsChange) (flawless.Settings, error) {
	return update[flawless.Settings](ctx, c, http.MethodPatch, "/modules/"+url.PathEscape(module)+"/settings", nil, change)
}
