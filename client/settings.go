package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/flawless-engine/flawless"
)

// SettingsChange says which settings of a module to change; nil leaves a setting as it is.
type SettingsChange struct {
	RetentionMS *int64 `json:"retention_ms,omitempty"` // 0 means the default, -1 forever
	Concurrency *int   `json:"concurrency,omitempty"`  // 0 means unlimited
	KeepTurns   *int   `json:"keep_turns,omitempty"`   // minimum number of turns to keep; 0 means all
	RetryForMS  *int64 `json:"retry_for_ms,omitempty"` // how long failed calls are retried; 0 means no retries, -1 the setting of the server
}

// Settings returns the settings for the runs of a module.
func (c *Client) Settings(ctx context.Context, module string) (flawless.Settings, error) {
	return get[flawless.Settings](ctx, c, "/modules/"+url.PathEscape(module)+"/settings", nil)
}

// ChangeSettings changes the settings for the runs of a module.
func (c *Client) ChangeSettings(ctx context.Context, module string, change SettingsChange) (flawless.Settings, error) {
	return update[flawless.Settings](ctx, c, http.MethodPatch, "/modules/"+url.PathEscape(module)+"/settings", nil, change, harmless())
}
