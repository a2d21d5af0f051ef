package client

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"

	"github.com/flawless-engine/flawless"
)

// SettingsChange says what is to be changed of a module's settings; nil leaves it.
type SettingsChange struct {
	RetentionMS *int64 `json:"retention_ms,omitempty"` // 0 is the default, -1 for ever
	Concurrency *int   `json:"concurrency,omitempty"`  // 0 is unlimited
}

// Settings returns how the runs of a module are treated.
func (c *Client) Settings(ctx context.Context, module string) (flawless.Settings, error) {
	return get[flawless.Settings](ctx, c, "/modules/"+url.PathEscape(module)+"/settings", nil)
}

// ChangeSettings changes how the runs of a module are treated.
func (c *Client) ChangeSettings(ctx context.Context, module string, change SettingsChange) (flawless.Settings, error) {
	b, err := json.Marshal(change)
	if err != nil {
		return flawless.Settings{}, err
	}
	return document[flawless.Settings](c.send(ctx, request{method: http.MethodPatch, path: "/modules/" + url.PathEscape(module) + "/settings",
		body: bytes.NewReader(b), length: int64(len(b)), kind: "application/json"}))
}
